"""Blobs as files of one folder, readable by their user only."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from agent_kernel.errors import ConfigurationError, NotFound, TooLarge

CHUNK = 256 << 10
"""Bytes read at a time."""


class FolderBlobs:
    """See `Blobs`. The folder is made on first use; a blob that is being written has a name with a dot."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def put(self, id: str, content: AsyncIterable[bytes], limit: int | None = None) -> int:  # noqa: A002
        """See `Blobs`."""
        path = self._path(id)
        partial = path.with_name(f".{id}")
        with _storage_errors():
            fd = await asyncio.to_thread(_create, partial)
        size = 0
        try:
            async for chunk in content:
                size += len(chunk)
                if limit is not None and size > limit:
                    raise TooLarge(f"The content is larger than {limit} bytes.")
                with _storage_errors():
                    await asyncio.to_thread(_write_all, fd, chunk)
            with _storage_errors():
                await asyncio.to_thread(partial.rename, path)
        finally:
            os.close(fd)
            with suppress(OSError):
                partial.unlink()
        return size

    async def get(self, id: str) -> AsyncGenerator[bytes, None]:  # noqa: A002
        """See `Blobs`."""
        with _storage_errors():
            try:
                file = await asyncio.to_thread(self._path(id).open, "rb")
            except FileNotFoundError:
                raise NotFound(f"There is no blob {id!r}.") from None
        try:
            while chunk := await asyncio.to_thread(file.read, CHUNK):
                yield chunk
        finally:
            file.close()

    async def delete(self, id: str) -> None:  # noqa: A002
        """See `Blobs`."""
        with _storage_errors():
            await asyncio.to_thread(self._path(id).unlink, missing_ok=True)

    async def sizes(self) -> Mapping[str, int]:
        """See `Blobs`."""

        def sizes() -> dict[str, int]:
            if not self._folder.is_dir():
                return {}
            with os.scandir(self._folder) as entries:
                return {each.name: each.stat().st_size for each in entries if not each.name.startswith(".")}

        with _storage_errors():
            return await asyncio.to_thread(sizes)

    def _path(self, id_: str) -> Path:
        if not id_ or id_.startswith(".") or "/" in id_ or "\0" in id_:
            raise ValueError(f"{id_!r} is not an id of a blob.")
        return self._folder / id_


@contextmanager
def _storage_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigurationError(
            f"The file cannot be kept: {error.strerror}.", hint="Free space in the data folder."
        ) from error


def _create(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    return os.open(path, os.O_CREAT | os.O_WRONLY | os.O_EXCL | os.O_CLOEXEC, 0o600)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
