"""Writing an archive: its members are collected in a folder beside it, and it appears at the end."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from agent_kernel import __version__
from agent_kernel.errors import AgentKernelError, ConfigurationError
from agent_kernel.runtime.archive.manifest import CHECKSUM, MANIFEST, MEMBERS, Manifest, Member
from agent_kernel.runtime.archive.tar import BLOCK

CHUNK = 1 << 20


class ArchiveWriter:
    """The members of an archive that is being written. Leaving the context removes what was collected.

    All methods block. Raises `ConfigurationError` if the file's folder cannot be written.
    """

    def __init__(self, target: Path) -> None:
        self._target = target
        try:
            self._folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        except OSError as error:
            raise _unwritable(target, error) from error

    def __enter__(self) -> ArchiveWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Raise `ConfigurationError` for an `OSError` of the file system, such as a full disk."""
        try:
            yield
        except AgentKernelError:  # some are an `OSError` too
            raise
        except OSError as error:
            raise _unwritable(self._target, error) from error

    def path(self, member: str) -> Path:
        """Return the file in which a member is collected."""
        return self._folder / member

    def add(self, member: str, content: bytes) -> None:
        """Collect a small member."""
        self.path(member).write_bytes(content)

    def finish(
        self, left_out: Sequence[str], progress: Callable[[int], None] = lambda _: None
    ) -> tuple[Manifest, str]:
        """Write the archive; return its manifest and its SHA-256. `progress` gets the bytes written so far.

        A file that is there is replaced. Raises `ConfigurationError`; the file is as before then.
        """
        members = [_measured(self.path(name)) for name in MEMBERS if self.path(name).exists()]
        manifest = Manifest(members, __version__, int(time.time()), left_out)
        part = self.path("archive")
        with self.errors():
            with part.open("xb") as file:
                written = _Hashed(file, progress)
                written.add(MANIFEST, io.BytesIO(manifest.to_json()))
                for member in members:
                    with self.path(member.name).open("rb") as content:
                        written.add(member.name, content)
                written.add(CHECKSUM, io.BytesIO(written.digest.hexdigest().encode()))
                written.write(bytes(2 * BLOCK))
                file.flush()
                os.fsync(file.fileno())
            part.rename(self._target)
        return manifest, written.digest.hexdigest()


class _Hashed:
    """A tar archive that is written, with the digest of what was written."""

    def __init__(self, file: BinaryIO, progress: Callable[[int], None]) -> None:
        self._file = file
        self._progress = progress
        self._size = 0
        self.digest = hashlib.sha256()

    def add(self, name: str, content: BinaryIO) -> None:
        entry = tarfile.TarInfo(name)
        entry.size = content.seek(0, os.SEEK_END)
        content.seek(0)
        self.write(entry.tobuf(tarfile.PAX_FORMAT))
        while piece := content.read(CHUNK):
            self.write(piece)
        self.write(bytes(-entry.size % BLOCK))

    def write(self, data: bytes) -> None:
        self._file.write(data)
        self.digest.update(data)
        self._size += len(data)
        self._progress(self._size)


def _measured(path: Path) -> Member:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Member(path.name, path.stat().st_size, digest)


def _unwritable(target: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError(
        f"The archive {target} cannot be written: {error.strerror or error}.",
        hint="Free space there, or name a file in another folder.",
    )
