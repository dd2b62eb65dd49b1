"""The user's files as they were uploaded, for a comparison with what is in the container later."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass, replace

MOST_OF_ONE = 1 << 20
"""The largest file in bytes whose content is kept; larger ones are compared by their digest."""

MOST_OF_ALL = 16 << 20
"""The most bytes kept of all files of a container."""


class Copy:
    """A copy of a file while it is sent. `content` becomes None when the file is too large."""

    def __init__(self) -> None:
        self.content: bytes | None = b""

    def add(self, chunk: bytes) -> None:
        """Add a piece."""
        if self.content is not None:
            fits = len(self.content) + len(chunk) <= MOST_OF_ONE
            self.content = self.content + chunk if fits else None


@dataclass(frozen=True)
class _Kept:
    size: int
    digest: str
    content: bytes | None


class Originals:
    """The files of one container by their path below /mnt/data."""

    def __init__(self) -> None:
        self._kept: dict[str, _Kept] = {}
        self._bytes = 0

    def keep(self, path: str, size: int, digest: str, content: bytes | None) -> None:
        """Record a file. If all together become too large, the content of the oldest is dropped."""
        self._forget(path)
        self._kept[path] = _Kept(size, digest, content)
        self._bytes += len(content or b"")
        for older in list(self._kept):
            if self._bytes <= MOST_OF_ALL:
                break
            self._forget_content(older)

    def copy(self) -> Originals:
        """Return a copy that changes on its own."""
        copied = Originals()
        copied._kept, copied._bytes = dict(self._kept), self._bytes
        return copied

    def archive(self) -> bytes | None:
        """Return the files as an archive for `sandbox_scripts.diff`; None if there are none."""
        if not self._kept:
            return None
        target = io.BytesIO()
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            index: dict[str, dict[str, int | str | None]] = {}
            for number, (path, kept) in enumerate(self._kept.items()):
                member = str(number) if kept.content is not None else None
                index[path] = {"size": kept.size, "digest": kept.digest, "member": member}
                if kept.content is not None:
                    archive.writestr(str(number), kept.content)
            archive.writestr("index.json", json.dumps(index))
        return target.getvalue()

    def _forget(self, path: str) -> None:
        known = self._kept.pop(path, None)
        self._bytes -= len(known.content or b"") if known is not None else 0

    def _forget_content(self, path: str) -> None:
        self._bytes -= len(self._kept[path].content or b"")
        self._kept[path] = replace(self._kept[path], content=None)
