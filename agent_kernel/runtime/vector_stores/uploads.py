"""Uploads in parts (`/v1/uploads`) of one tenant."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterable, Sequence
from contextlib import aclosing
from dataclasses import replace
from hashlib import md5
from typing import Literal

from openai.types import FileObject, Upload
from openai.types.uploads import UploadPart

from agent_kernel.errors import InvalidRequest, NotFound, TooLarge
from agent_kernel.protocol import ids
from agent_kernel.protocol.validation import check, shortened
from agent_kernel.runtime.uploads.uploaded_files import LocalFiles
from agent_kernel.runtime.vector_stores.base import Params
from agent_kernel.store.blobs import Blobs
from agent_kernel.store.documents import Documents, UploadRow

LIFE = 3600.0
"""Seconds after which an upload expires, and bytes of one part, both as in OpenAI's API."""
PART = 64 << 20
MOST_PENDING = 20


class LocalUploads:
    """See `runtime.vector_stores.base.Uploads`. `upload_limit` is in bytes, for one file."""

    def __init__(self, documents: Documents, blobs: Blobs, files: LocalFiles, upload_limit: int) -> None:
        self._rows = documents
        self._blobs = blobs
        self._files = files
        self._limit = upload_limit

    async def create(self, params: Params) -> Upload:
        """See `Uploads`."""
        check("UploadCreateParams", params)
        if params["bytes"] > self._limit:
            raise TooLarge(f"A file may have at most {self._limit} bytes.", param="bytes")
        now = time.time()
        pending = [row for row in await self._rows.uploads() if row.status == "pending"]
        for row in pending:
            if row.expires_at <= now:
                await self._discard(row)
        if sum(row.expires_at > now for row in pending) >= MOST_PENDING:
            raise InvalidRequest(
                f"There may be at most {MOST_PENDING} unfinished uploads.", hint="Complete or cancel one."
            )
        expiry = params.get("expires_after") or {}
        made = UploadRow(
            ids.upload_id(),
            now,
            now + LIFE,
            params["filename"],
            params["purpose"],
            params["bytes"],
            seconds=expiry.get("seconds"),
        )
        await self._rows.put_upload(made)
        return _resource(made)

    async def add_part(self, upload_id: str, content: AsyncIterable[bytes]) -> UploadPart:
        """See `Uploads`."""
        row = await self._pending(upload_id)
        left = row.bytes - sum(row.parts.values())
        part_id = ids.upload_part_id()
        try:
            size = await self._blobs.put(part_id, content, min(PART, left))
            if not await self._rows.add_part(upload_id, part_id, size, row.bytes):
                raise InvalidRequest(f"The upload {upload_id} takes no more parts.", param="upload_id")
        except TooLarge:
            raise TooLarge(
                f"The part is larger than {min(PART, left)} bytes: {PART} is the limit for one part,"
                f" {left} are left of this upload.",
                param="data",
            ) from None
        except BaseException:
            await self._blobs.delete(part_id)
            raise
        return UploadPart.construct(
            id=part_id, object="upload.part", created_at=int(time.time()), upload_id=upload_id
        )

    async def complete(self, upload_id: str, params: Params) -> Upload:
        """See `Uploads`."""
        check("UploadCompleteParams", params)
        row = await self._pending(upload_id)
        part_ids: Sequence[str] = params["part_ids"]
        if unknown := [each for each in part_ids if each not in row.parts]:
            raise InvalidRequest(f"The upload has no part {shortened(unknown[0])}.", param="part_ids")
        if sum(row.parts[each] for each in part_ids) != row.bytes or len(set(part_ids)) != len(part_ids):
            raise InvalidRequest(
                f"The parts together must have exactly {row.bytes} bytes, as the upload says.",
                param="part_ids",
            )
        if not await self._rows.put_upload(replace(row, status="completed"), was="pending"):
            raise InvalidRequest(f"The upload {upload_id} is complete or cancelled.", param="upload_id")
        try:
            file = await self._assembled(row, part_ids, params.get("md5"))
        except BaseException:
            await self._rows.put_upload(row, was="completed")
            raise
        done = replace(row, status="completed", file_id=file.id)
        await self._rows.put_upload(done, was="completed")
        await self._delete_parts(row)
        return _resource(done, file)

    async def cancel(self, upload_id: str) -> Upload:
        """See `Uploads`."""
        row = await self._pending(upload_id)
        cancelled = replace(row, status="cancelled")
        if not await self._rows.put_upload(cancelled, was="pending"):
            raise InvalidRequest(f"The upload {upload_id} is complete or cancelled.", param="upload_id")
        await self._delete_parts(row)
        return _resource(cancelled)

    async def _assembled(self, row: UploadRow, part_ids: Sequence[str], expected: str | None) -> FileObject:
        digest = md5(usedforsecurity=False)

        async def content() -> AsyncGenerator[bytes, None]:
            for part_id in part_ids:
                async with aclosing(self._blobs.get(part_id)) as chunks:
                    async for chunk in chunks:
                        digest.update(chunk)
                        yield chunk
            if expected is not None and digest.hexdigest() != expected.lower():
                raise InvalidRequest("The md5 of the parts differs from the one given.", param="md5")

        form = {"purpose": row.purpose}
        if row.seconds is not None:
            form["expires_after[seconds]"] = str(row.seconds)
        return await self._files.create(filename=row.filename, content=content(), form=form)

    async def _pending(self, upload_id: str) -> UploadRow:
        row = await self._rows.upload(upload_id)
        if row is None:
            raise NotFound(f"There is no upload {shortened(upload_id)}.", param="upload_id")
        if row.status == "pending" and row.expires_at <= time.time():
            await self._discard(row)
            raise NotFound(f"The upload {upload_id} has expired.", param="upload_id")
        if row.status != "pending":
            raise InvalidRequest(f"The upload {upload_id} is {row.status}.", param="upload_id")
        return row

    async def _discard(self, row: UploadRow) -> None:
        await self._delete_parts(row)
        await self._rows.delete_upload(row.id)

    async def _delete_parts(self, row: UploadRow) -> None:
        current = await self._rows.upload(row.id)
        for part_id in {**row.parts, **(current.parts if current is not None else {})}:
            await self._blobs.delete(part_id)


def _resource(row: UploadRow, file: FileObject | None = None) -> Upload:
    status: Literal["pending", "completed", "cancelled"] = row.status
    return Upload.construct(
        id=row.id,
        object="upload",
        bytes=row.bytes,
        created_at=int(row.created_at),
        expires_at=int(row.expires_at),
        filename=row.filename,
        purpose=row.purpose,
        status=status,
        file=file,
    )
