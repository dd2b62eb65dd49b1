"""Uploaded files, as `/v1/files` has them: bytes in a folder beside the store, to be put into containers."""

from __future__ import annotations

import asyncio
import os
import posixpath
import time
from collections.abc import AsyncGenerator, AsyncIterable, Mapping
from contextlib import suppress
from pathlib import Path

from openai.types import FileObject
from openai.types.containers import FileCreateResponse

from agent_kernel.errors import ConfigurationError, InvalidRequest, NotFound, TooLarge
from agent_kernel.protocol import ids
from agent_kernel.protocol.wellformed import well_formed
from agent_kernel.runtime.access.quota import Quota
from agent_kernel.runtime.base import ContainerFiles, Order, Page
from agent_kernel.runtime.paging import page
from agent_kernel.store.base import FileRow, Store

CHUNK = 256 << 10
"""Bytes read at a time."""

LONGEST_PURPOSE = 64
SHORTEST_LIFE = 3600
LONGEST_LIFE = 30 * 24 * 3600
"""Seconds, as at OpenAI's."""


class LocalFiles:
    """The files of one store. `upload_limit` is in bytes, per file; `allowance` bounds them together."""

    def __init__(self, store: Store, upload_limit: int, allowance: Quota | None = None) -> None:
        self._store = store
        self._allowance = allowance or Quota()
        self._arriving = 0
        self._folder = store.folder / "files"
        self._limit = upload_limit

    async def create(
        self, *, filename: str, content: AsyncIterable[bytes], form: Mapping[str, str]
    ) -> FileObject:
        """Keep a file. `form` is looked at when all of `content` has come: see `Files.create`."""
        name = well_formed(posixpath.basename(filename.replace("\0", "")))
        if name in ("", ".", ".."):
            raise InvalidRequest("The file needs a name.", param="file")
        id, now = ids.file_id(), time.time()  # noqa: A001
        size = await self._write(id, name, content)
        try:
            seconds = _seconds(form.get("expires_after[seconds]"))
            expires_at = None if seconds is None else now + seconds
            row = FileRow(id, now, name, _purpose(form.get("purpose")), size, expires_at)
            if not await self._store.put_file(row, self._allowance.limits.stored_bytes):
                raise self._allowance.too_many_bytes()
        except BaseException:
            await asyncio.to_thread((self._folder / id).unlink)
            raise
        return _resource(row)

    async def _write(self, id: str, name: str, content: AsyncIterable[bytes]) -> int:  # noqa: A002
        await asyncio.to_thread(self._folder.mkdir, parents=True, exist_ok=True, mode=0o700)
        path, partial = self._folder / id, self._folder / f".{id}"
        room = await self._room()
        size, fd = 0, await asyncio.to_thread(os.open, partial, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600)
        try:
            async for chunk in content:
                size += len(chunk)
                self._arriving += len(chunk)
                if room is not None and self._arriving > room:
                    raise self._allowance.too_many_bytes()
                if size > self._limit:
                    raise TooLarge(
                        f"{name} is larger than {self._limit} bytes, the most that one file may have.",
                        param="file",
                    )
                await asyncio.to_thread(_write_all, fd, chunk)
            await asyncio.to_thread(partial.rename, path)
        except OSError as error:
            raise ConfigurationError(
                f"The file cannot be kept: {error.strerror}.", hint="Free space in the data folder."
            ) from error
        finally:
            self._arriving -= size
            os.close(fd)
            with suppress(OSError):
                partial.unlink()
        return size

    async def _room(self) -> int | None:
        """Bytes that may still come, by all uploads together; None: as many as there is place for."""
        most = self._allowance.limits.stored_bytes
        if most is None:
            return None
        for row in await self._store.files():
            if _is_over(row):
                await self.delete(row.id)
        return most - await self._store.stored_bytes()

    async def list(
        self, *, after: str | None = None, limit: int = 100, order: Order = "desc", purpose: str | None = None
    ) -> Page[FileObject]:
        """A page of the files, by time of upload; `limit` is 1 to 10000."""
        rows = [row for row in await self._store.files() if purpose is None or row.purpose == purpose]
        found = [_resource(row) for row in rows if not _is_over(row)]
        return page(found, after=after, limit=limit, order=order, most=10_000)

    async def retrieve(self, file_id: str) -> FileObject:
        """One file's metadata. Raises `NotFound`."""
        return _resource(await self._row(file_id))

    async def content(self, file_id: str) -> AsyncGenerator[bytes, None]:
        """The file's bytes, in chunks. Raises `NotFound`."""
        row = await self._row(file_id)
        try:
            file = await asyncio.to_thread(self._path(row).open, "rb")
        except FileNotFoundError:
            raise _unknown(file_id) from None
        try:
            while chunk := await asyncio.to_thread(file.read, CHUNK):
                yield chunk
        finally:
            file.close()

    async def delete(self, file_id: str) -> None:
        """Delete the file; copies in containers stay. Raises `NotFound`."""
        row = await self._store.file(file_id)
        if row is None or not await self._store.delete_file(file_id):
            raise _unknown(file_id)
        await asyncio.to_thread(self._path(row).unlink, missing_ok=True)

    async def copy(self, file_id: str, container_id: str, files: ContainerFiles) -> FileCreateResponse:
        """Copy a file into a container's workspace. Raises `NotFound`, and what writing there raises."""
        row = await self._row(file_id)
        content = self.content(file_id)
        return await files.create(container_id, path=row.filename, content=content, size=row.bytes)

    async def check(self, file_ids: tuple[str, ...]) -> None:
        """Raise `NotFound` if one of them is missing."""
        for file_id in file_ids:
            await self._row(file_id)

    async def _row(self, file_id: str) -> FileRow:
        row = await self._store.file(file_id)
        if row is None:
            raise _unknown(file_id)
        if _is_over(row):
            with suppress(NotFound):
                await self.delete(file_id)
            raise _unknown(file_id)
        return row

    def _path(self, row: FileRow) -> Path:
        return self._folder / row.id


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


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _is_over(row: FileRow) -> bool:
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
