"""The files of containers, by path, for the tools that read, write and list them."""

from __future__ import annotations

import base64
import binascii
import mimetypes
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

from mcp_types import BlobResourceContents, CallToolResult, EmbeddedResource, ImageContent, TextContent

from agent_kernel.errors import InvalidRequest, NotFound, TooLarge
from agent_kernel.runtime.base import ContainerFiles
from agent_kernel.runtime.front_ends import ListsAllFiles

WORKSPACE = "/mnt/data/"
MOST_LISTED = 1000
"""Files that a listing names."""
MOST_FOUND = 20_000
"""Files among which one is looked for: as many as a sandbox names."""
MOST_READ = 1 << 20
"""Bytes of a file that one call returns."""


async def listed(files: ContainerFiles, container_id: str, most: int) -> tuple[Sequence[Any], bool]:
    """Return files below `/mnt/data`, newest first, and whether these are all. Raises as `ContainerFiles`."""
    if isinstance(files, ListsAllFiles):
        found, is_all = await files.all(container_id)
        return found[:most], is_all and len(found) <= most
    pages: list[Any] = []
    more = True
    while more and len(pages) < most:
        after = pages[-1].id if pages else None
        page = await files.list(container_id, after=after, limit=100)
        pages += page.data
        more = page.has_more and bool(page.data)
    return pages[:most], not more and len(pages) <= most


async def read(files: ContainerFiles, container_id: str, path: str, offset: int) -> CallToolResult:
    """Return a file: a picture as one, text as text from byte `offset` on, anything else as a resource.

    Raises `NotFound`, `TooLarge` for a picture or binary file over the limit, and as `ContainerFiles`.
    """
    target = path if path.startswith("/") else WORKSPACE + path
    found = await _named(files, container_id, target)
    kept, more = await _bytes(files, container_id, found.id, offset)
    mime = mimetypes.guess_type(target)[0] or "application/octet-stream"
    picture = mime.startswith("image/") and mime != "image/svg+xml"
    text = None if picture else _decoded(kept, more=more)
    if text is not None:
        content = [TextContent(type="text", text=text)]
        if more:
            note = f"[The file goes on: {found.bytes} bytes; read from offset {offset + MOST_READ}.]"
            content.append(TextContent(type="text", text=note))
        return CallToolResult(content=[*content])
    if more or offset:
        raise TooLarge(
            f"{target} is not text and has {found.bytes} bytes; a call returns {MOST_READ} at most.",
            hint="Look at it with a command in the container.",
        )
    data = base64.b64encode(kept).decode()
    if picture:
        return CallToolResult(content=[ImageContent(type="image", data=data, mime_type=mime)])
    blob = BlobResourceContents(uri=f"file://{target}", blob=data, mime_type=mime)
    return CallToolResult(content=[EmbeddedResource(type="resource", resource=blob)])


async def write(files: ContainerFiles, container_id: str, path: str, content: str, encoding: str) -> Any:
    """Write a file whole and return it. Raises `InvalidRequest` for wrong base64, and as `ContainerFiles`."""
    if encoding == "base64":
        try:
            data = base64.b64decode(content, validate=True)
        except (binascii.Error, ValueError) as error:
            raise InvalidRequest("content is not valid base64.") from error
    else:
        data = content.encode("utf-8", "surrogatepass")
    return await files.create(container_id, path=path, content=_once(data), size=len(data))


async def _once(data: bytes) -> AsyncGenerator[bytes, None]:
    yield data


async def _named(files: ContainerFiles, container_id: str, path: str) -> Any:
    found, _ = await listed(files, container_id, MOST_FOUND)
    for each in found:
        if each.path == path:
            return each
    raise NotFound(
        f"There is no file {path} in the container.", hint="list_files shows those below /mnt/data."
    )


async def _bytes(files: ContainerFiles, container_id: str, file_id: str, offset: int) -> tuple[bytes, bool]:
    """Return bytes from an offset on, and whether there are more."""
    kept, passed = bytearray(), 0
    async with aclosing(files.content(container_id, file_id)) as chunks:
        async for chunk in chunks:
            kept += chunk[max(0, offset - passed) :]
            passed += len(chunk)
            if len(kept) > MOST_READ:
                return bytes(kept[:MOST_READ]), True
    return bytes(kept), False


def _decoded(data: bytes, *, more: bool) -> str | None:
    """Return UTF-8 text; None if it is none. Characters that the limits cut in two are left out."""
    if b"\0" in data:
        return None
    for start in range(min(4, len(data) + 1)):
        for end in range(4 if more else 1):
            try:
                return data[start : len(data) - end].decode()
            except UnicodeDecodeError:
                continue
    return None
