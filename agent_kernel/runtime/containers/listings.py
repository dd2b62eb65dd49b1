"""Pages of the files in containers.

A listing reads the whole workspace in the sandbox, so one listing serves the pages that follow each other.
The store keeps the place of each page's last file: the next page goes on from there although the file has
changed or is gone, in any process.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from agent_kernel.errors import SandboxFileError
from agent_kernel.runtime.base import Order, Page
from agent_kernel.runtime.paging import Asked, after, unknown
from agent_kernel.sandboxes.base import WORKSPACE
from agent_kernel.sandboxes.channel import Channel, FileStat
from agent_kernel.store.rows import Rows

KEPT = 60.0
"""The seconds for which a listing serves later pages."""

MOST = 40_000
"""The number of files in all kept listings together."""

Place = tuple[int, str]
"""Where a file is in a listing: its time of change in nanoseconds, then its path."""


@dataclass(frozen=True)
class ListedFile:
    """A file of a listing. Resources are made for the shown page only: they cost more than the listing."""

    id: str
    stat: FileStat
    """The file as it is now."""
    place: Place
    """Where it was when the files were listed."""


@dataclass(frozen=True)
class _Listing:
    """All files of a container, by place, as they were at a time (of `time.monotonic`)."""

    files: Sequence[ListedFile]
    taken: float

    def after(self, cursor: str, known: Place | None, order: Order) -> Sequence[ListedFile] | None:
        """Return the files after the one with the id `cursor`; None if neither it nor its place is known."""
        if known is None:
            known = next((each.place for each in self.files if each.id == cursor), None)
        if known is None:
            return None
        bisect = bisect_right if order == "asc" else bisect_left
        return after(self.files, order, bisect(self.files, known, key=lambda each: each.place))


class Listings:
    """The newest listings, by container."""

    def __init__(self, store: Rows) -> None:
        self._store = store
        self._kept: OrderedDict[str, _Listing] = OrderedDict()

    async def page(self, channel: Channel, container_id: str, asked: Asked) -> Page[ListedFile]:
        """Return a page of the files below `/mnt/data`, by time of change.

        Raises `InvalidRequest` if `asked.after` never was the id of a file in this container.
        """
        found = await self._continued(channel, container_id, asked)
        if found is None:
            found = await self._new(channel, container_id, asked)
        if found.data:
            last = found.data[-1]
            await self.remember(container_id, last.id, last.place)
        if not found.has_more:
            self._kept.pop(container_id, None)
        return found

    async def remember(self, container_id: str, file_id: str, place: Place) -> None:
        """Keep the place of a file, so that a page can go on from there when the file is gone."""
        await self._store.put_place(container_id, file_id, json.dumps(place))

    def forget(self, container_id: str) -> None:
        """Forget the kept listing of a container."""
        self._kept.pop(container_id, None)

    async def _new(self, channel: Channel, container_id: str, asked: Asked) -> Page[ListedFile]:
        stats = await channel.list(WORKSPACE)
        listed = [ListedFile(file_id(container_id, each.path), each, place(each)) for each in stats]
        listing = _Listing(sorted(listed, key=lambda each: each.place), time.monotonic())
        self._keep(container_id, listing)
        if asked.after is None:
            data: Sequence[ListedFile] | None = after(listing.files, asked.order, None)
        else:
            data = listing.after(asked.after, await self._place(container_id, asked.after), asked.order)
        if data is None:
            raise unknown(str(asked.after))
        return Page(list(data[: asked.limit]), len(data) > asked.limit)

    async def _continued(self, channel: Channel, container_id: str, asked: Asked) -> Page[ListedFile] | None:
        """Return the page from the kept listing; None if there is none, or if nothing follows in it."""
        listing = self._kept.get(container_id)
        if listing is None or asked.after is None or listing.taken + KEPT < time.monotonic():
            return None
        data = listing.after(asked.after, await self._place(container_id, asked.after), asked.order) or ()
        page: list[ListedFile] = []
        read = 0
        while len(page) < asked.limit and read < len(data):
            some = data[read : read + asked.limit - len(page)]
            read += len(some)
            page += [each for each in await asyncio.gather(*(_now(channel, one) for one in some)) if each]
        return Page(page, read < len(data)) if page else None

    async def _place(self, container_id: str, file_id: str) -> Place | None:
        """Return where a file was when a page ended with it, or when it was deleted."""
        kept = await self._store.place(container_id, file_id)
        if kept is None:
            return None
        modified_ns, path = json.loads(kept)
        return modified_ns, path

    def _keep(self, container_id: str, listing: _Listing) -> None:
        self._kept[container_id] = listing
        self._kept.move_to_end(container_id)
        for name, each in list(self._kept.items()):  # oldest first
            total = sum(len(kept.files) for kept in self._kept.values())
            if total > MOST or each.taken + KEPT < listing.taken:
                del self._kept[name]


async def _now(channel: Channel, listed: ListedFile) -> ListedFile | None:
    """Return a listed file as it is now; None if it is gone."""
    try:
        return replace(listed, stat=await channel.stat(listed.stat.path))
    except SandboxFileError:
        return None


def place(stat: FileStat) -> Place:
    """Return where a file is in a listing."""
    return stat.modified_ns, stat.path


def file_id(container_id: str, path: str) -> str:
    """Return the id of the file at `path`, whether it exists or not."""
    name = f"{container_id}\0{path}".encode("utf-8", "surrogateescape")
    return "cfile_" + hashlib.sha256(name).hexdigest()[:32]
