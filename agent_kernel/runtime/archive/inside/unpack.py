"""Unpacks a compressed tar archive from standard input into folders of a sandbox, which are emptied before.

    python3 -I -c PROGRAM NAME=FOLDER ...

The host has checked the archive. Modes, times, links and holes are restored, and owners as far as this
sandbox has them. What could not be restored is JSON on standard error. Runs inside a sandbox.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import shutil
import sys
import tarfile

CHUNK = 64 << 10


class Unpacking:
    """Unpacks into the folders `roots`, by name."""

    def __init__(self, roots: dict[str, str]) -> None:
        self._roots = roots
        self._folders: list[tuple[str, tarfile.TarInfo]] = []
        self.files = 0
        self.owners = 0

    def path(self, name: str) -> str:
        """Return the path in the sandbox of a name in the archive."""
        root, _, rest = name.partition("/")
        return os.path.join(self._roots[root], rest) if rest else self._roots[root]

    def empty(self) -> None:
        """Remove what is in the folders."""
        for folder in self._roots.values():
            os.makedirs(folder, exist_ok=True)
            for entry in list(os.scandir(folder)):
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path)
                else:
                    os.unlink(entry.path)

    def add(self, archive: tarfile.TarFile, entry: tarfile.TarInfo) -> None:
        """Unpack one entry. Folders get their modes at the end."""
        path = self.path(entry.name)
        if entry.isdir():
            os.makedirs(path, mode=0o700, exist_ok=True)
            self._folders.append((path, entry))
        elif entry.issym():
            os.symlink(entry.linkname, path)
            self._own(path, entry)
            os.utime(path, ns=times(entry), follow_symlinks=False)
        elif entry.islnk():
            os.link(self.path(entry.linkname), path)
        elif entry.isreg():
            self._file(archive, path, entry)
            self.files += 1
        else:
            raise ValueError("an entry of a type that is not unpacked")

    def _file(self, archive: tarfile.TarFile, path: str, entry: tarfile.TarInfo) -> None:
        sparse = entry.pax_headers.get("AGENT_KERNEL.sparse") == "1"
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb", 0) as file:
            content = archive.extractfile(entry)
            while content is not None:
                data = content.read(CHUNK)
                if not data:
                    break
                if sparse and not data.strip(b"\0"):
                    file.seek(len(data), os.SEEK_CUR)
                else:
                    written = 0
                    while written < len(data):
                        written += file.write(data[written:])
            os.ftruncate(fd, entry.size)
            self._own(fd, entry)
            os.fchmod(fd, entry.mode)
            os.utime(fd, ns=times(entry))

    def _own(self, path: str | int, entry: tarfile.TarInfo) -> None:
        try:
            if isinstance(path, int):
                os.fchown(path, entry.uid, entry.gid)
            else:
                os.lchown(path, entry.uid, entry.gid)
        except OSError:  # this sandbox has no such user
            self.owners += 1

    def finish(self) -> None:
        """Give the folders their owners, modes and times, the innermost ones first."""
        for path, entry in reversed(self._folders):
            self._own(path, entry)
            os.chmod(path, entry.mode)
            with contextlib.suppress(OSError):
                os.utime(path, ns=times(entry))


def times(entry: tarfile.TarInfo) -> tuple[int, int]:
    """Return the time of access and of change, in nanoseconds."""
    seconds, _, rest = str(entry.pax_headers.get("mtime", entry.mtime)).partition(".")
    when = int(seconds) * 1000000000 + int((rest + "0" * 9)[:9])  # as `pack` writes it, also before 1970
    return when, when


def main(arguments: list[str]) -> None:
    """Unpack everything."""
    unpacking = Unpacking(dict(each.split("=", 1) for each in arguments))
    unpacking.empty()
    with contextlib.ExitStack() as stack:
        given = stack.enter_context(os.fdopen(0, "rb", 1 << 20))
        packed = stack.enter_context(gzip.GzipFile(fileobj=given))
        archive = stack.enter_context(
            tarfile.open(fileobj=packed, mode="r|", encoding="utf-8", errors="surrogateescape")
        )
        for entry in archive:
            unpacking.add(archive, entry)
            archive.members = []  # type: ignore[attr-defined]  # it would keep them all
    unpacking.finish()
    sys.stderr.write(json.dumps({"files": unpacking.files, "owners": unpacking.owners}))


if __name__ == "__main__":
    main(sys.argv[1:])
