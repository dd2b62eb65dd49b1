"""The files in containers, as `/v1/containers/{container_id}/files` has them.

The store records only whether a user uploaded a file. A listing shows what is below `/mnt/data` at that
moment. An id is a function of container and path, so it is the same in every process and is found again by
listing.
"""

from __future__ import annotations

import hashlib
import posixpath
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, contextmanager, suppress
from typing import Protocol

from openai.types.containers import FileCreateResponse

from agent_kernel.errors import InvalidRequest, NotFound, SandboxError, SandboxFileError, TooLarge
from agent_kernel.runtime.base import FileChanges, Order, Page
from agent_kernel.runtime.containers.listings import Listings, file_id, place
from agent_kernel.runtime.observe.audit import OFF, AuditLog
from agent_kernel.runtime.paging import Asked
from agent_kernel.sandboxes.base import WORKSPACE
from agent_kernel.sandboxes.boxd.files import LEADS_OUT, LIST_LIMIT
from agent_kernel.sandboxes.channel import Channel, FileStat
from agent_kernel.store.rows import Rows

MOST_CHANGES = 1000
"""Changed files that one answer names."""

REMEMBERED = 20_000
"""Files whose paths are remembered by id, so that one that was named is found without a listing."""


class Opener(Protocol):
    """The part of the containers that the files use."""

    def use(self, container_id: str) -> AbstractAsyncContextManager[Channel]:
        """Hold a container's channel for one operation."""
        ...


class LocalContainerFiles:
    """Files through the containers' channels. `upload_limit` is in bytes, per file.

    Links are followed where they stay below `/mnt/data`, and refused where they lead out of it.
    """

    def __init__(self, containers: Opener, store: Rows, upload_limit: int, audit: AuditLog = OFF) -> None:
        self._containers = containers
        self._store = store
        self._audit = audit
        self.upload_limit = upload_limit
        self._listings = Listings(store)
        self._paths: OrderedDict[str, str] = OrderedDict()  # by id, of files that were named

    async def create(
        self, container_id: str, *, path: str, content: AsyncIterable[bytes], size: int | None = None
    ) -> FileCreateResponse:
        """Write a file; see `ContainerFiles.create`. A known `size` over the limit is refused unread.

        Raises `SandboxError` if what arrived is not what was sent; the file is removed then.
        """
        target = workspace_path(path)
        if size is not None and size > self.upload_limit:
            raise self._too_large(target, size)
        async with self._containers.use(container_id) as channel:
            sent = hashlib.sha256()
            async with aclosing(self._limited(content, target, sent)) as pieces:
                with _refused_outside():
                    stat = await channel.put(target, pieces, within=WORKSPACE, digest=True)
            if stat.sha256 != sent.hexdigest():
                await channel.remove(target, within=WORKSPACE)
                raise SandboxError(
                    f"{posixpath.basename(target)} did not arrive as it was sent; it was removed.",
                    hint="Upload it again.",
                )
            await self._store.add_upload(container_id, target)
        self._record(container_id, "in", stat, stat.sha256)
        return _resource(container_id, stat, {target})

    async def _limited(
        self, content: AsyncIterable[bytes], path: str, sent: hashlib._Hash
    ) -> AsyncGenerator[bytes, None]:
        total = 0
        async for chunk in content:
            total += len(chunk)
            if total > self.upload_limit:
                raise self._too_large(path, None)
            sent.update(chunk)
            yield chunk

    def _record(self, container_id: str, direction: str, stat: FileStat, digest: str | None) -> None:
        self._audit.write(
            "file", container=container_id, direction=direction, path=stat.path, size=stat.size, sha256=digest
        )

    def _too_large(self, path: str, size: int | None) -> TooLarge:
        is_size = f"is {size} bytes" if size is not None else "is larger than that"
        return TooLarge(
            f"{posixpath.basename(path)} {is_size}; one upload may have at most {self.upload_limit} bytes.",
            hint="Upload it in parts or compressed, or ask the operator for a higher upload limit.",
            param="file",
        )

    async def list(
        self, container_id: str, *, after: str | None = None, limit: int = 20, order: Order = "desc"
    ) -> Page[FileCreateResponse]:
        """Return a page of the files below `/mnt/data`, by time of change."""
        asked = Asked(after, limit, order)
        async with self._containers.use(container_id) as channel:
            found = await self._listings.page(channel, container_id, asked)
        uploads = await self._store.uploads(container_id)
        self._remember({each.id: each.stat.path for each in found.data})
        return Page([_resource(container_id, each.stat, uploads) for each in found.data], found.has_more)

    async def all(self, container_id: str) -> tuple[Sequence[FileCreateResponse], bool]:
        """Return all files, newest first; see `runtime.front_ends.ListsAllFiles`."""
        async with self._containers.use(container_id) as channel:
            stats = await channel.list(WORKSPACE)
        uploads = await self._store.uploads(container_id)
        newest = sorted(stats, key=place, reverse=True)
        self._remember({file_id(container_id, stat.path): stat.path for stat in newest})
        return [_resource(container_id, stat, uploads) for stat in newest], len(newest) < LIST_LIMIT

    async def changes(self, container_id: str, *, since: str | None = None) -> FileChanges:
        """Return what changed since a mark; see `TracksChanges.changes`."""
        async with self._containers.use(container_id) as channel:
            found = await channel.changes(WORKSPACE, since)
        newest = sorted(found.files, key=lambda stat: stat.modified_ns, reverse=True)[:MOST_CHANGES]
        uploads = await self._store.uploads(container_id) if newest else set()
        newest.sort(key=lambda stat: stat.path)
        data = [_resource(container_id, stat, uploads) for stat in newest]
        self._remember({file_id(container_id, stat.path): stat.path for stat in newest})
        return FileChanges(data, len(found.files), found.mark, found.known)

    async def retrieve(self, container_id: str, file_id: str) -> FileCreateResponse:
        """Return one file's metadata."""
        async with self._containers.use(container_id) as channel:
            stat = await self._find(channel, container_id, file_id)
        return _resource(container_id, stat, await self._store.uploads(container_id))

    async def content(self, container_id: str, file_id: str) -> AsyncGenerator[bytes, None]:
        """Yield the file's bytes, in chunks; closing the generator ends the transfer."""
        async with self._containers.use(container_id) as channel:
            stat = await self._find(channel, container_id, file_id)
            taken, whole = hashlib.sha256(), False
            try:
                async with aclosing(channel.get(stat.path, within=WORKSPACE)) as chunks:
                    with _refused_outside():
                        async for chunk in chunks:
                            taken.update(chunk)
                            yield chunk
                whole = True
            finally:  # a part that was read has left the container as well
                self._record(container_id, "out", stat, taken.hexdigest() if whole else None)

    async def delete(self, container_id: str, file_id: str) -> None:
        """Remove the file."""
        async with self._containers.use(container_id) as channel:
            stat = await self._find(channel, container_id, file_id)
            await self._listings.remember(container_id, file_id, place(stat))
            with _refused_outside():
                await channel.remove(stat.path, within=WORKSPACE)
        with suppress(UnicodeEncodeError):  # no upload has a name that is not text
            await self._store.remove_upload(container_id, stat.path)
        self._record(container_id, "removed", stat, None)

    async def _find(self, channel: Channel, container_id: str, wanted: str) -> FileStat:
        """Return the file with an id: at the path where it was listed last, or else by a listing."""
        path = self._paths.get(wanted)
        if path is not None and file_id(container_id, path) == wanted:
            with suppress(SandboxFileError):
                return await channel.stat(path)
        for stat in await channel.list(WORKSPACE):
            if file_id(container_id, stat.path) == wanted:
                return stat
        raise NotFound(f"There is no file {wanted!r} in container {container_id!r}.", param="file_id")

    def forget(self, container_id: str) -> None:
        """Forget the listing of a container whose files are others now."""
        self._listings.forget(container_id)

    def _remember(self, paths: Mapping[str, str]) -> None:
        self._paths.update(paths)
        while len(self._paths) > REMEMBERED:
            self._paths.popitem(last=False)

    async def ids(self, container_id: str, paths: Sequence[str]) -> dict[str, str | None]:
        """Return the ids of the files at absolute paths; None for a path with no file below `/mnt/data`."""
        async with self._containers.use(container_id) as channel:
            return {path: await _id(channel, container_id, path) for path in paths}


async def _id(channel: Channel, container_id: str, path: str) -> str | None:
    try:
        stat = await channel.stat(workspace_path(path))
    except (InvalidRequest, SandboxFileError):
        return None
    return file_id(container_id, stat.path)


@contextmanager
def _refused_outside() -> Iterator[None]:
    """Raise `InvalidRequest` for a link that leads out of the workspace."""
    try:
        yield
    except SandboxFileError as error:
        if LEADS_OUT not in error.message:
            raise
        raise InvalidRequest(
            f"The path goes through a link that leads out of {WORKSPACE}.",
            hint=f"Take a path that stays below {WORKSPACE}.",
            param="file",
        ) from error


def workspace_path(path: str) -> str:
    """Return the absolute path below `/mnt/data` that `path` means. Raises `InvalidRequest` for any other."""
    target = posixpath.normpath(posixpath.join(WORKSPACE, path))
    if "\0" in path or not target.startswith(WORKSPACE + "/") or path.endswith("/"):
        raise InvalidRequest(
            f"The path {path!r} does not name a file below {WORKSPACE}.",
            hint=f"Give a file name, or an absolute path below {WORKSPACE}.",
            param="file",
        )
    return target


def _resource(container_id: str, stat: FileStat, uploads: set[str]) -> FileCreateResponse:
    return FileCreateResponse.model_validate(
        {
            "id": file_id(container_id, stat.path),
            "object": "container.file",
            "container_id": container_id,
            # A name need not be text; what is shown must be. The id is of the real name.
            "path": stat.path.encode("utf-8", "surrogateescape").decode("utf-8", "replace"),
            "bytes": stat.size,
            "created_at": stat.modified_ns // 1_000_000_000,
            "source": "user" if stat.path in uploads else "assistant",
            "agent_kernel": {"modified_ns": stat.modified_ns},
        }
    )
