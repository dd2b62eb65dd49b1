"""The container's files for the extension: a list, and uploads in pieces."""

from __future__ import annotations

import os
from collections.abc import Container, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from agent_kernel.errors import InvalidRequest
from agent_kernel.kernel.panel.held.incoming import LONGEST_NAME, IncomingFile, check_size, checked_name

if TYPE_CHECKING:
    from openai.types.containers import FileCreateResponse

    from agent_kernel.kernel.panel.messages import PanelRequest
    from agent_kernel.kernel.panel.source import PanelSource

LARGEST = 1 << 50
MOST_LISTED = 1000
LONGEST_UPLOAD = 64
"""Characters of the name that a page gives an upload."""


async def listing(source: PanelSource, request: PanelRequest) -> Mapping[str, Any]:
    """Return the newest files in the container: paths below /mnt/data, and sizes in bytes."""
    request.only(())
    found = await source.listings.get(source.notebook)
    newest = [{"path": path, "bytes": file.bytes} for path, file in islice(found.files.items(), MOST_LISTED)]
    return {"files": newest, "complete": found.complete and len(newest) == len(found.files)}


async def upload(source: PanelSource, request: PanelRequest) -> Mapping[str, Any]:
    """Begin to receive a file. Returns its path: another than asked for if that one is taken.

    With `replace` the file takes the place of the one that is there. The model is told of it, unless it is a
    `part` of a folder.
    """
    request.only(("upload", "name", "size", "replace", "part"))
    name = checked_name(request.text("name", longest=LONGEST_NAME))
    size = request.number("size", most=LARGEST)
    check_size(source.notebook, size)
    upload_id = request.text("upload", longest=LONGEST_UPLOAD)
    target = name if request.truth("replace") else await _free(source, name)
    source.incoming.check(request.page, upload_id)
    file = IncomingFile(source.notebook, target, size, part=request.truth("part"))
    source.incoming.add(request.page, upload_id, file)
    if size == 0:
        return await _arrived(source, request, file)
    return {"path": target}


async def _free(source: PanelSource, name: str) -> str:
    there = await source.listings.get(source.notebook, kept=True)
    return free_name(name, there.paths | source.incoming.targets)


def free_name(name: str, taken: Container[str]) -> str:
    """Return the name, with a number if the container or the notebook's folder has such a file or folder.

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


async def free(source: PanelSource, request: PanelRequest) -> Mapping[str, Any]:
    """Return a path for a folder that comes: another than asked for if that one is taken."""
    request.only(("name",))
    return {"path": await _free(source, checked_name(request.text("name", longest=LONGEST_NAME)))}


async def uploaded(source: PanelSource, request: PanelRequest) -> Mapping[str, Any]:
    """Tell the model of a folder whose files have arrived one by one, each with `part`."""
    request.only(("path", "files"))
    path = checked_name(request.text("path", longest=LONGEST_NAME))
    count = request.number("files", most=LARGEST)
    source.listings.changes += 1
    source.notebook.tell_model(f"The user uploaded a folder: /mnt/data/{path}/ ({count} files).")
    return {}


async def _arrived(source: PanelSource, request: PanelRequest, file: IncomingFile) -> Mapping[str, Any]:
    from agent_kernel.kernel.render.files.artifacts import short_path

    try:
        written = await file.written()
    finally:
        source.incoming.end(request.page, request.text("upload", longest=LONGEST_UPLOAD))
    path = short_path(written.path)
    source.listings.add(path, written)
    source.listings.changes += not file.part
    shown = "" if file.part else await _told(source, written)
    return {"path": path, "bytes": written.bytes, "shown": shown}


async def _told(source: PanelSource, written: FileCreateResponse) -> str:
    """Tell the model of the file; return what it contains, for the user."""
    from agent_kernel.kernel.transfer.described import describe

    content = await describe(source.notebook, written)
    seen = f" In the notebook: {content.for_model}." if content.for_model else ""
    source.notebook.tell_model(f"The user uploaded a file: {written.path} ({written.bytes} bytes).{seen}")
    return content.for_user
