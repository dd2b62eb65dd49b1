"""The record of the user's files that the container in use already has, by content."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from agent_kernel.kernel.transfer.host_files import HostFile, read_chunks
from agent_kernel.kernel.transfer.originals import Originals


@dataclass(frozen=True)
class PendingUpload:
    """A file to send, and its path relative to /mnt/data."""

    file: HostFile
    target: str


class Uploaded:
    """The uploads to one container: the container path, and the local file's mark and digest.

    `originals` has what arrived, for a comparison with what is there later.
    """

    def __init__(self) -> None:
        self._container_id: str | None = None
        self._known: dict[str, tuple[HostFile, str]] = {}
        self._received: set[str] = set()
        self._originals = Originals()

    def remember(
        self, container_id: str, upload: PendingUpload, digest: str, content: bytes | None = None
    ) -> None:
        """Record an upload that arrived; `digest` is its SHA-256, `content` its bytes if they are kept."""
        self._use(container_id)
        self._received.discard(upload.target)
        self._known[upload.target] = (upload.file, digest)
        self._originals.keep(upload.target, upload.file.size, digest, content)

    def received(self, container_id: str, target: str, size: int, digest: str, content: bytes | None) -> None:
        """Record a file that arrived from the page of the front end: there is no such file here."""
        self._use(container_id)
        self._known.pop(target, None)
        self._received.add(target)
        self._originals.keep(target, size, digest, content)

    def kept(self) -> tuple[Mapping[str, tuple[HostFile, str]], set[str]]:
        """Return the files that were sent, by target, and those that arrived from the page."""
        return self._known, self._received

    def bring_back(
        self, container_id: str, known: Mapping[str, tuple[HostFile, str]], received: Sequence[str]
    ) -> None:
        """Know again what an earlier kernel has sent. What the files held then is not known."""
        self._use(container_id)
        self._known, self._received = dict(known), set(received)

    def copy(self) -> Uploaded:
        """Return a copy that changes on its own."""
        copied = Uploaded()
        copied._container_id, copied._known = self._container_id, dict(self._known)
        copied._received, copied._originals = set(self._received), self._originals.copy()
        return copied

    def only_there(self, container_id: str | None) -> frozenset[str]:
        """Return the files that arrived from the page and their folders, as paths below /mnt/data.

        A folder is there with and without a slash at its end.
        """
        received = self._received if container_id == self._container_id else set()
        folders = {str(each) for path in received for each in PurePosixPath(path).parents} - {"."}
        return frozenset(received | folders | {f"{each}/" for each in folders})

    def _use(self, container_id: str) -> None:
        if container_id != self._container_id:
            self._container_id, self._known, self._originals = container_id, {}, Originals()
            self._received = set()

    def originals(self, container_id: str) -> Originals:
        """Return what was uploaded to a container."""
        return self._originals if container_id == self._container_id else Originals()

    async def placed(self, container_id: str, uploads: Sequence[PendingUpload]) -> list[PendingUpload]:
        """Return the uploads with their targets: a name that another file has already gets a number.

        A file with the content that is there already keeps the name, and so does one placed before.
        """
        known = self._known if container_id == self._container_id else {}
        taken = {target: file.path.absolute() for target, (file, _) in known.items()}
        found: list[PendingUpload] = []
        for upload in uploads:
            origin, target, number = upload.file.path.absolute(), upload.target, 1
            while taken.get(target, origin) != origin and not await self.has(
                container_id, replace(upload, target=target)
            ):
                number += 1
                target = _numbered(upload.target, number)
            taken[target] = origin
            found.append(replace(upload, target=target))
        return found

    async def has(self, container_id: str, upload: PendingUpload) -> bool:
        """Return whether the container has this content at that path; reads the file only if modified."""
        known = self._known.get(upload.target)
        if known is None or container_id != self._container_id:
            return False
        file, digest = known
        if file.path.absolute() == upload.file.path.absolute() and file.mark == upload.file.mark:
            return True
        if file.size != upload.file.size or await digest_of(upload.file) != digest:
            return False
        self._known[upload.target] = (upload.file, digest)
        return True


def _numbered(target: str, number: int) -> str:
    path = PurePosixPath(target)
    return str(path.with_name(f"{path.stem}-{number}{path.suffix}"))


async def digest_of(file: HostFile) -> str:
    """Return the file's SHA-256. Raises `InvalidRequest` if it cannot be read."""
    digest = hashlib.sha256()
    async with aclosing(read_chunks(file)) as chunks:
        async for chunk in chunks:
            digest.update(chunk)
    return digest.hexdigest()
