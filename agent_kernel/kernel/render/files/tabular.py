"""Preview a file of a container as a table: text in this process, other formats inside the container."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from agent_kernel.kernel.render.files import inspection
from agent_kernel.kernel.tables.delimited import LOOSE
from agent_kernel.kernel.tables.files import read_file, text_file
from agent_kernel.kernel.tables.preview import Preview

if TYPE_CHECKING:
    from openai.types.containers import FileCreateResponse

    from agent_kernel.runtime.base import Runtime

PREFIX = 256 << 10
"""The number of bytes read for the first rows of a table that is too large to read whole."""


def may_be_table(path: str) -> bool:
    """Return whether the file's name says that it may be a table."""
    return text_file(path) is not None or PurePosixPath(path).suffix.lower() in inspection.SUFFIXES


def is_called_table(path: str) -> bool:
    """Return whether the name leaves no doubt: `.csv` is a table, `.txt` need not be one."""
    kind = text_file(path)
    return may_be_table(path) and (kind is None or kind.suffix not in LOOSE)


async def preview_of(runtime: Runtime, file: FileCreateResponse, limit: int) -> Preview:
    """Return the preview of a file, of which at most `limit` bytes are read. Raises `NoTable`.

    Raises what `ContainerFiles.content` raises.
    """
    kind = text_file(file.path)
    if kind is None:
        return await inspection.preview(runtime, file.container_id, file.path)
    whole = file.bytes <= limit
    data = await read(runtime, file, file.bytes if whole else min(PREFIX, limit))
    return await asyncio.to_thread(read_file, data, kind, whole=whole, limit=limit)


async def read(runtime: Runtime, file: FileCreateResponse, limit: int) -> bytes:
    """Read at most `limit` bytes from the start of the file, which may have grown since it was listed."""
    data = bytearray()
    async with aclosing(runtime.containers.files.content(file.container_id, file.id)) as chunks:
        async for chunk in chunks:
            data += chunk
            if len(data) >= limit:
                break
    return bytes(data[:limit])
