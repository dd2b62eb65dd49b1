"""The container's files for the extension: a list, and uploads in pieces."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from agent_kernel.errors import InvalidRequest
from agent_kernel.kernel.panel.incoming import LONGEST_NAME, IncomingFile, check_size, checked_name

if TYPE_CHECKING:
    from openai.types.containers import FileCreateResponse

    from agent_kernel.kernel.panel.messages import PanelRequest
    from agent_kernel.kernel.panel.source import PanelSource

LARGEST = 1 << 50
LONGEST_UPLOAD = 64
"""Characters of the name that a page gives an upload."""


async def listing(source: PanelSource, request: PanelRequest) -> Mapping[str, Any]:
    """Return the newest files in the container: paths below /mnt/data, and sizes in bytes."""
    request.only(())
    return await _listed(source)


async def _listed(source: PanelSource) -> dict[str, Any]:
    from agent_kernel.kernel.render.files.artifacts import short_path, snapshot

    notebook = source.notebook
    if notebook.opened is None or notebook.container.id is None:
        return {"files": [], "complete": True}
    found = await snapshot(notebook.opened.containers.files, notebook.container.id)
    listed = [{"path": short_path(path), "bytes": file.bytes} for path, file in found.files.items()]
    return {"files": listed, "complete": found.complete}


async def upload(source: PanelSource, request: PanelRequest) -> Mapping[str, Any]:
    """Begin to receive a file. Returns its path: another than asked for if that one is taken."""
    request.only(("upload", "name", "size"))
    name = checked_name(request.text("name", longest=LONGEST_NAME))
    size = request.number("size", most=LARGEST)
    check_size(source.notebook, size)
    taken = {each["path"] for each in (await _listed(source))["files"]}
    target = free_name(name, taken | source.incoming.targets)
    upload_id = request.text("upload", longest=LONGEST_UPLOAD)
    file = source.incoming.begin(request.page, upload_id, source.notebook, target, size)
    if size == 0:
        return await _arrived(source, request, file)
    return {"path": target}


def free_name(name: str, taken: Collection[str]) -> str:
    """Return the name, with a number if the container or the notebook's folder has such a file.

    A mention of it would mean the file in the folder.
    """
    stem, suffix = os.path.splitext(name)
    number, found = 1, name
    while found in taken or os.path.lexists(found):
        number += 1
        found = f"{stem}-{number}{suffix}"
    return found


async def chunk(source: PanelSource, request: PanelRequest) -> Mapping[str, Any]:
    """Take the next piece of a file. After the last one, wait until the file is written."""
    request.only(("upload", "offset"))
    name = request.text("upload", longest=LONGEST_UPLOAD)
    offset = request.number("offset", most=LARGEST)
    file = source.incoming.get(request.page, name)
    if len(request.buffers) != 1:
        raise InvalidRequest("chunk needs one buffer.")
    try:
        await file.add(offset, request.buffers[0])
    except BaseException:
        source.incoming.end(request.page, name)
        raise
    return await _arrived(source, request, file) if file.complete else {"received": file.received}


async def cancel(source: PanelSource, request: PanelRequest) -> Mapping[str, Any]:
    """Give up an upload; nothing remains of it."""
    request.only(("upload",))
    source.incoming.end(request.page, request.text("upload", longest=LONGEST_UPLOAD))
    return {}


async def _arrived(source: PanelSource, request: PanelRequest, file: IncomingFile) -> Mapping[str, Any]:
    from agent_kernel.kernel.render.files.artifacts import short_path

    try:
        written = await file.written()
    finally:
        source.incoming.end(request.page, request.text("upload", longest=LONGEST_UPLOAD))
    return {"path": short_path(written.path), "bytes": written.bytes, "shown": await _told(source, written)}


async def _told(source: PanelSource, written: FileCreateResponse) -> str:
    """Tell the model of the file; return what it contains, for the user."""
    from agent_kernel.kernel.transfer.described import describe

    content = await describe(source.notebook, written)
    seen = f" In the notebook: {content.for_model}." if content.for_model else ""
    source.notebook.tell_model(f"The user uploaded a file: {written.path} ({written.bytes} bytes).{seen}")
    return content.for_user
