"""The container's files as the files panel shows them: folders, contents in pieces, new names, removal.

Paths are those of `listing.Listing`: below /mnt/data, and spelled so that they can be shown.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from agent_kernel.errors import InvalidRequest, NotFound
from agent_kernel.kernel.panel.held.incoming import LONGEST_NAME, checked_name
from agent_kernel.kernel.panel.held.listing import LONGEST_PATH, described, entries, fresh, missing, named
from agent_kernel.kernel.panel.held.outgoing import OutgoingFile
from agent_kernel.kernel.panel.messages import WithBuffer

if TYPE_CHECKING:
    from agent_kernel.kernel.notebook import Notebook
    from agent_kernel.kernel.panel.messages import PanelRequest
    from agent_kernel.kernel.panel.source import PanelSource

MOST_OFFSET = 1_000_000
PAGE = 500
"""Entries of one answer."""

LONGEST_FILTER = 1000
"""Characters of the text that names must have."""

MOST_REMOVED = 1000
LONGEST_DOWNLOAD = 64
"""Characters of the name that a page gives a download."""


async def folder(source: PanelSource, request: PanelRequest) -> Mapping[str, Any]:
    """Return a page of what is in a folder, or of all files below it that the last turn wrote."""
    request.only(("path", "offset", "changed", "named"))
    path = request.text("path", longest=LONGEST_PATH) if request.arguments.get("path") else ""
    offset = request.number("offset", most=MOST_OFFSET) if "offset" in request.arguments else 0
    text = request.text("named", longest=LONGEST_FILTER) if request.arguments.get("named") else ""
    listing = await source.listings.get(source.notebook, kept=offset > 0)
    files, changed = listing.below(path), _written(source.notebook)
    if path and not files:
        raise missing(path)
    if request.truth("changed"):
        chosen = {name: file for name, file in files.items() if file.path in changed}
        found = [described(*each, changed) for each in sorted(chosen.items())]
    else:
        found = entries(files, path, changed)
    found = named(found, text) if text else found
    return {
        "container": source.notebook.container.id is not None,
        "entries": found[offset : offset + PAGE],
        "count": len(found),
        "complete": listing.complete,
    }


def _written(notebook: Notebook) -> Collection[str]:
    """Return the paths in the container that the last turn wrote."""
    records = notebook.ledger.records
    return {*records[-1].paths} if records and records[-1].container_id == notebook.container.id else ()


async def stat(source: PanelSource, request: PanelRequest) -> Mapping[str, Any]:
    """Return a file as it is now."""
    request.only(("path",))
    path = request.text("path", longest=LONGEST_PATH)
    return described(path, await source.listings.find(source.notebook, path), _written(source.notebook))


async def download(source: PanelSource, request: PanelRequest) -> Mapping[str, Any]:
    """Begin to read a file; the answer has its first piece."""
    request.only(("download", "path"))
    name = request.text("download", longest=LONGEST_DOWNLOAD)
    path = request.text("path", longest=LONGEST_PATH)
    source.outgoing.check(request.page, name)
    file = await source.listings.find(source.notebook, path)
    source.outgoing.check(request.page, name)  # again: another request may have come first
    files = (await source.notebook.runtime()).containers.files
    source.outgoing.add(request.page, name, OutgoingFile(files, file, path))
    return await _next(source, request.page, name, **described(path, file, ()))


async def piece(source: PanelSource, request: PanelRequest) -> Mapping[str, Any]:
    """Return the next piece of a file."""
    request.only(("download",))
    return await _next(source, request.page, request.text("download", longest=LONGEST_DOWNLOAD))


async def end(source: PanelSource, request: PanelRequest) -> Mapping[str, Any]:
    """Read no more of a file."""
    request.only(("download",))
    source.outgoing.end(request.page, request.text("download", longest=LONGEST_DOWNLOAD))
    return {}


async def _next(source: PanelSource, page: str, name: str, **more: Any) -> WithBuffer:
    file = source.outgoing.get(page, name)
    try:
        content = b"" if file.complete else await file.piece()
    except NotFound:
        source.outgoing.end(page, name)
        raise InvalidRequest("The file is gone.", hint="Refresh the list.") from None
    except BaseException:
        source.outgoing.end(page, name)
        raise
    if file.complete:
        source.outgoing.end(page, name)
    return WithBuffer(content, end=file.complete, **more)


async def delete(source: PanelSource, request: PanelRequest) -> Mapping[str, Any]:
    """Remove a file, or all files below a folder: then the folder is not shown any more."""
    request.only(("path",))
    path = request.text("path", longest=LONGEST_PATH)
    listing = await source.listings.get(source.notebook)
    found = [listing.files[path]] if path in listing.files else list(listing.below(path).values())
    if not found:
        raise missing(path)
    if len(found) > MOST_REMOVED:
        raise InvalidRequest(
            f"There are {len(found):,} files in {path[:200]}; at most {MOST_REMOVED:,} are removed at once.",
            hint="Remove it with a command: !rm -r …",
        )
    files = (await source.notebook.runtime()).containers.files
    removed = 0
    try:
        for file in found:
            try:
                await files.delete(file.container_id, file.id)
            except NotFound:
                continue  # something else removed it
            removed += 1
    finally:
        source.listings.forget()
        source.notebook.container.touched()
    source.notebook.tell_model(f"The user removed {path} from /mnt/data.")
    return {"removed": removed}


async def rename(source: PanelSource, request: PanelRequest) -> Mapping[str, Any]:
    """Give a file another path. It is copied and the old one removed: the API can do nothing else."""
    request.only(("path", "to"))
    path = request.text("path", longest=LONGEST_PATH)
    to = checked_name(request.text("to", longest=LONGEST_NAME))
    listing = await source.listings.get(source.notebook)
    if path not in listing.files and listing.below(path):
        raise InvalidRequest("A folder gets another name with a command only.", hint="!mv OLD NEW")
    file = await fresh(source.notebook, path, listing.find(path))
    if to in listing.files or listing.below(to) or to in source.incoming.targets:
        raise InvalidRequest(f"{to[:200]} exists already.", hint="Choose another name.")
    files = (await source.notebook.runtime()).containers.files
    try:
        await files.create(
            file.container_id, path=to, content=files.content(file.container_id, file.id), size=file.bytes
        )
        await files.delete(file.container_id, file.id)
    finally:
        source.listings.forget()
        source.notebook.container.touched()
    source.notebook.tell_model(f"The user renamed {path} in /mnt/data to {to}.")
    return {"path": to}
