"""Writes the files of a sandbox to standard output, as a compressed tar archive.

    python3 -I -c PROGRAM NAME=FOLDER ...

What is left out, and what changed meanwhile, is JSON on standard error. Owners, modes, times, symbolic and
hard links, holes and names that are not text are kept. Runs inside a sandbox.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import stat
import sys
import tarfile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

MOST_NAMED = 1000


class Exact(io.RawIOBase):
    """A file as it was measured: one that became shorter has zeros at its end."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._left = size
        self.short = False

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes."""
        size = self._left if size < 0 else min(size, self._left)
        data = self._file.read(size)
        if len(data) < size:
            self.short = True
            data += b"\0" * (size - len(data))
        self._left -= size
        return data


class Packing:
    """Packs folders, one after the other."""

    def __init__(self, archive: tarfile.TarFile) -> None:
        self._archive = archive
        self._linked: dict[tuple[int, int], str] = {}
        self._closed: list[tuple[str, int]] = []
        self.left_out: list[list[str]] = []
        self.count = 0

    def leave_out(self, path: str, why: str) -> None:
        """Note something that is not in the archive."""
        self.count += 1
        if len(self.left_out) < MOST_NAMED:
            self.left_out.append([path.encode("utf-8", "surrogateescape").decode("utf-8", "replace"), why])

    def pack(self, name: str, folder: str) -> None:
        """Pack a folder and all below it under a name."""
        waiting = [(name, folder)]
        while waiting:
            inner, path = waiting.pop()
            try:
                status = os.lstat(path)
                if stat.S_ISDIR(status.st_mode):
                    names = self._names(path, status)
                    self._add(inner, path, status, folder)
                    waiting.extend((inner + "/" + each, os.path.join(path, each)) for each in names)
                else:
                    self._add(inner, path, status, folder)
            except OSError as error:
                self.leave_out(path, error.strerror or "cannot be read")

    def _names(self, path: str, status: os.stat_result) -> list[str]:
        if not os.access(path, os.R_OK | os.X_OK):  # its owner may; it is closed again at the end
            os.chmod(path, stat.S_IMODE(status.st_mode) | 0o500)
            self._closed.append((path, stat.S_IMODE(status.st_mode)))
        return sorted(os.listdir(path), reverse=True)

    def close(self) -> None:
        """Give folders that were opened their modes back."""
        while self._closed:
            os.chmod(*self._closed.pop())

    def _add(self, name: str, path: str, status: os.stat_result, root: str) -> None:
        entry = tarfile.TarInfo(name)
        entry.mode = stat.S_IMODE(status.st_mode)
        entry.uid, entry.gid = status.st_uid, status.st_gid
        seconds, nanoseconds = divmod(status.st_mtime_ns, 1000000000)
        fields = {"mtime": f"{seconds}.{nanoseconds:09d}"}
        if stat.S_ISREG(status.st_mode) and status.st_blocks * 512 < status.st_size:
            fields["AGENT_KERNEL.sparse"] = "1"
        entry.pax_headers = fields
        key = (status.st_dev, status.st_ino)
        if stat.S_ISDIR(status.st_mode):
            entry.type = tarfile.DIRTYPE
        elif stat.S_ISLNK(status.st_mode):
            entry.type, entry.linkname = tarfile.SYMTYPE, os.readlink(path)
            led = os.path.normpath(os.path.join(os.path.dirname(path), entry.linkname))
            if led != root and not led.startswith(root + "/"):
                self.leave_out(path, f"a link that leads outside: {entry.linkname}")
                return
        elif not stat.S_ISREG(status.st_mode):
            self.leave_out(path, "no regular file")
            return
        elif key in self._linked:
            entry.type, entry.linkname = tarfile.LNKTYPE, self._linked[key]
        else:
            self._file(entry, path, status)
            if status.st_nlink > 1:
                self._linked[key] = name
            return
        self._archive.addfile(entry)
        self._archive.getmembers().clear()  # it would keep them all

    def _file(self, entry: tarfile.TarInfo, path: str, status: os.stat_result) -> None:
        entry.size = status.st_size
        with opened(path, status) as file:
            exact = Exact(file, entry.size)
            self._archive.addfile(entry, exact)  # type: ignore[arg-type,unused-ignore]
            if exact.short:
                self.leave_out(path, "it became shorter while it was read")
        self._archive.getmembers().clear()  # it would keep them all


def opened(path: str, status: os.stat_result) -> BinaryIO:
    """Open a file, also one that its owner may not read."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except PermissionError:
        os.chmod(path, stat.S_IMODE(status.st_mode) | 0o400)
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        finally:
            os.chmod(path, stat.S_IMODE(status.st_mode))
    return os.fdopen(fd, "rb")


def roots(arguments: list[str]) -> Iterator[tuple[str, str]]:
    """Yield the name and the folder of each `NAME=FOLDER`."""
    for each in arguments:
        name, _, folder = each.partition("=")
        yield name, folder


def main(arguments: list[str]) -> None:
    """Pack the folders."""
    with contextlib.ExitStack() as stack:
        out = stack.enter_context(os.fdopen(1, "wb", 1 << 20))
        packed = stack.enter_context(gzip.GzipFile(fileobj=out, mode="wb", compresslevel=1, mtime=0))
        archive = stack.enter_context(
            tarfile.open(
                fileobj=packed,
                mode="w|",
                format=tarfile.PAX_FORMAT,
                encoding="utf-8",
                errors="surrogateescape",
            )
        )
        packing = Packing(archive)
        stack.callback(packing.close)
        for name, folder in roots(arguments):
            packing.pack(name, folder)
    sys.stderr.write(json.dumps({"left_out": packing.left_out, "count": packing.count}))


if __name__ == "__main__":
    main(sys.argv[1:])
