"""Uploaded files (`/v1/files`): kept in the store, and copied into containers on request."""

from __future__ import annotations

import posixpath
import time
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Mapping
from contextlib import aclosing, suppress

from openai.types import FileObject
from openai.types.containers import FileCreateResponse

from agent_kernel.errors import InvalidRequest, NotFound, TooLarge
from agent_kernel.protocol import ids
from agent_kernel.protocol.wellformed import well_formed
from agent_kernel.runtime.access.quota import Quota
from agent_kernel.runtime.base import ContainerFiles, Order, Page
from agent_kernel.runtime.paging import Asked, page
from agent_kernel.store.blobs import Blobs
from agent_kernel.store.records import FileRow
from agent_kernel.store.rows import Rows

LONGEST_PURPOSE = 64
SHORTEST_LIFE = 3600
LONGEST_LIFE = 30 * 24 * 3600
"""Seconds, as in OpenAI's API."""


Forget = Callable[[str], Awaitable[None]]
"""Deletes what was made of a file: its chunks in vector stores."""


class LocalFiles:
    """The files of one tenant. `upload_limit` is in bytes, per file; `quota` limits them together."""

    def __init__(
        self,
        rows: Rows,
        blobs: Blobs,
        upload_limit: int,
        quota: Quota | None = None,
        forget: Forget | None = None,
    ) -> None:
        self._rows = rows
        self.forget = forget
        self._blobs = blobs
        self._quota = quota or Quota()
        self._arriving = 0
        self._limit = upload_limit

    async def create(
        self, *, filename: str, content: AsyncIterable[bytes], form: Mapping[str, str]
    ) -> FileObject:
        """Store a file. `form` is read after all of `content` has come: see `Files.create`."""
        name = well_formed(posixpath.basename(filename.replace("\0", "")))
        if name in ("", ".", ".."):
            raise InvalidRequest("The file needs a name.", param="file")
        id, now = ids.file_id(), time.time()  # noqa: A001
        size = await self._receive(id, name, content)
        try:
            seconds = _seconds(form.get("expires_after[seconds]"))
            expires_at = None if seconds is None else now + seconds
            row = FileRow(id, now, name, _purpose(form.get("purpose")), size, expires_at)
            if not await self._rows.put_file(row, self._quota.limits.stored_bytes):
                raise self._quota.too_many_bytes()
        except BaseException:
            await self._blobs.delete(id)
            raise
        return _resource(row)

    async def _receive(self, id: str, name: str, content: AsyncIterable[bytes]) -> int:  # noqa: A002
        room = await self._room()
        arrived = 0

        async def counted() -> AsyncGenerator[bytes, None]:
            nonlocal arrived
            async for chunk in content:
                arrived += len(chunk)
                self._arriving += len(chunk)
                if room is not None and self._arriving > room:
                    raise self._quota.too_many_bytes()
                yield chunk

        try:
            async with aclosing(counted()) as chunks:
                return await self._blobs.put(id, chunks, self._limit)
        except TooLarge:
            raise TooLarge(
                f"{name} is larger than {self._limit} bytes, the limit for one file.", param="file"
            ) from None
        finally:
            self._arriving -= arrived

    async def _room(self) -> int | None:
        """Return the bytes that all uploads together may still add; None: no limit."""
        most = self._quota.limits.stored_bytes
        if most is None:
            return None
        for row in await self._rows.files():
            if _is_expired(row):
                await self.delete(row.id)
        return most - await self._rows.stored_bytes()

    async def list(
        self, *, after: str | None = None, limit: int = 100, order: Order = "desc", purpose: str | None = None
    ) -> Page[FileObject]:
        """Return a page of the files, by time of upload; `limit` is 1 to 10000."""
        found = await page(
            await self._rows.files(),
            Asked(after, limit, order, most=10_000),
            before=lambda gone: self._rows.before("files", gone),
            shown=lambda row: (purpose is None or row.purpose == purpose) and not _is_expired(row),
        )
        return Page([_resource(row) for row in found.data], found.has_more)

    async def retrieve(self, file_id: str) -> FileObject:
        """Return one file's metadata. Raises `NotFound`."""
        return _resource(await self._row(file_id))

    async def content(self, file_id: str) -> AsyncGenerator[bytes, None]:
        """Return the file's bytes in chunks. Raises `NotFound`."""
        row = await self._row(file_id)
        try:
            async with aclosing(self._blobs.get(row.id)) as chunks:
                async for chunk in chunks:
                    yield chunk
        except NotFound:
            raise _unknown(file_id) from None

    async def delete(self, file_id: str) -> None:
        """Delete the file, also from vector stores; copies in containers stay. Raises `NotFound`."""
        if not await self._rows.delete_file(file_id):
            raise _unknown(file_id)
        await self._blobs.delete(file_id)
        if self.forget is not None:
            await self.forget(file_id)

    async def copy(
        self, file_id: str, container_id: str, files: ContainerFiles, *, prefixed: bool = False
    ) -> FileCreateResponse:
        """Copy a file into a container's workspace. `prefixed` puts its id before its name.

        Raises `NotFound`, and what writing there raises.
        """
        row = await self._row(file_id)
        content = self.content(file_id)
        path = container_path(_resource(row)) if prefixed else row.filename
        return await files.create(container_id, path=path, content=content, size=row.bytes)

    async def check(self, file_ids: tuple[str, ...]) -> None:
        """Raise `NotFound` if one of them is missing."""
        for file_id in file_ids:
            await self._row(file_id)

    async def _row(self, file_id: str) -> FileRow:
        row = await self._rows.file(file_id)
        if row is None:
            raise _unknown(file_id)
        if _is_expired(row):
            with suppress(NotFound):
                await self.delete(file_id)
            raise _unknown(file_id)
        return row


def container_path(file: FileObject) -> str:
    """Return where OpenAI's `code_interpreter` has a file, relative to the workspace."""
    return f"{file.id}-{file.filename}"


def _purpose(given: str | None) -> str:
    if not given or len(given) > LONGEST_PURPOSE:
        raise InvalidRequest("purpose is missing: for instance user_data.", param="purpose")
    return str(well_formed(given))


def _seconds(given: str | None) -> int | None:
    if given is None:
        return None
    if not (given.isascii() and given.isdecimal()) or not SHORTEST_LIFE <= int(given[:9]) <= LONGEST_LIFE:
        raise InvalidRequest(
            f"expires_after must be from {SHORTEST_LIFE} to {LONGEST_LIFE} seconds after created_at.",
            param="expires_after",
        )
    return int(given)


def _is_expired(row: FileRow) -> bool:
    return row.expires_at is not None and row.expires_at <= time.time()


def _resource(row: FileRow) -> FileObject:
    return FileObject.construct(
        id=row.id,
        object="file",
        bytes=row.bytes,
        created_at=int(row.created_at),
        expires_at=None if row.expires_at is None else int(row.expires_at),
        filename=row.filename,
        purpose=row.purpose,
        status="processed",
        status_details=None,
    )


def _unknown(file_id: str) -> NotFound:
    return NotFound(f"No such File object: {file_id}", param="id")
