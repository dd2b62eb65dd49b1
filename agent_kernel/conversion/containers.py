"""The containers of conversations: their files, and new ones like them that are removed at the end."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from agent_kernel.runtime.base import ContainerFiles, Containers, Runtime
from agent_kernel.runtime.front_ends import ListsAllFiles

WORKSPACE = "/mnt/data/"
MOST_FILES = 2_000
LARGEST = 1 << 30
"""Bytes of all files that are read."""
LARGEST_TEXT = 1 << 20
"""Bytes of a file whose text is kept."""
MOST_TEXT = 64 << 20
"""Characters of all texts that are kept."""


@dataclass(frozen=True)
class WorkspaceFile:
    """A file below the workspace. `text` is None unless it is short and valid UTF-8."""

    id: str
    path: str
    bytes: int
    sha256: str
    text: str | None = None
    uploaded: bool = False
    """Whether the user put it there."""
    modified: float = 0.0
    """Unix seconds."""


@dataclass(frozen=True)
class OriginalContainer:
    """The container of a conversation."""

    containers: Containers
    id: str


@dataclass(frozen=True)
class CopiedFile:
    """A file that goes into new containers: its path there, its size in bytes, and how to read it."""

    path: str
    size: int
    content: Callable[[], AsyncGenerator[bytes, None]]


async def files_of(containers: Containers, container_id: str, begun: float = 0.0) -> dict[str, WorkspaceFile]:
    """Return the files of a container by path below the workspace; at most `MOST_FILES` and `LARGEST`.

    What is beyond is left out. `begun` is when its conversation began (Unix seconds): see `_inputs`. Raises
    as `runtime.base.ContainerFiles`.
    """
    found: dict[str, WorkspaceFile] = {}
    left, texts = LARGEST, MOST_TEXT
    everything = await _listed(containers.files, container_id)
    inputs = {each.id for each in _inputs(everything, begun)}
    for listed in everything:
        left -= listed.bytes or 0
        if left < 0 or len(found) == MOST_FILES:
            break
        file = await _read(containers.files, container_id, listed)
        texts -= len(file.text or "")
        text = file.text if texts >= 0 else None
        found[file.path] = replace(file, text=text, uploaded=listed.id in inputs)
    return found


async def made_files(containers: Containers, container_id: str, begun: float = 0.0) -> dict[str, int]:
    """Return the files that are not the user's, by path below the workspace, with their bytes.

    `begun` and errors are as in `files_of`.
    """
    listed = await _listed(containers.files, container_id)
    inputs = {each.id for each in _inputs(listed, begun)}
    made = [each for each in listed if each.id not in inputs][:MOST_FILES]
    return {each.path.removeprefix(WORKSPACE): each.bytes or 0 for each in made}


def _inputs(listed: Sequence[Any], begun: float) -> list[Any]:
    """Return the user's files.

    Where none is marked as theirs, as after an import, these are the files that are older than the
    conversation.
    """
    marked = [each for each in listed if each.source == "user"]
    return marked or [each for each in listed if 0 < _modified(each) < begun]


def _modified(listed: Any) -> float:
    ours = getattr(listed, "agent_kernel", None)
    return float(ours.get("modified_ns", 0)) / 1e9 if isinstance(ours, dict) else 0.0


async def _listed(files: ContainerFiles, container_id: str) -> Sequence[Any]:
    if isinstance(files, ListsAllFiles):
        return (await files.all(container_id))[0]
    listed: list[Any] = []
    while len(listed) < MOST_FILES:
        after = listed[-1].id if listed else None
        page = await files.list(container_id, after=after, limit=100)
        listed += page.data
        if not page.has_more:
            break
    return listed


async def _read(files: ContainerFiles, container_id: str, listed: Any) -> WorkspaceFile:
    digest, kept, length = hashlib.sha256(), bytearray(), 0
    async with aclosing(files.content(container_id, listed.id)) as chunks:
        async for chunk in chunks:
            digest.update(chunk)
            length += len(chunk)
            if length <= LARGEST_TEXT:
                kept += chunk
    text = _text(bytes(kept)) if length <= LARGEST_TEXT else None
    path = listed.path.removeprefix(WORKSPACE)
    return WorkspaceFile(listed.id, path, length, digest.hexdigest(), text, modified=_modified(listed))


def _text(data: bytes) -> str | None:
    try:
        return None if b"\0" in data else data.decode()
    except UnicodeDecodeError:
        return None


@asynccontextmanager
async def fresh_container(runtime: Runtime, params: Mapping[str, Any]) -> AsyncGenerator[str, None]:
    """Yield the id of a new container. It is removed at the end, also when cancelled. Raises as `create`."""
    made = await runtime.containers.create(params)
    try:
        yield made.id
    finally:
        await asyncio.shield(runtime.containers.delete(made.id))


async def params_like(original: OriginalContainer) -> dict[str, Any]:
    """Return parameters for a container like the original: limits, mounts and network, but no volume.

    Raises as `Containers.retrieve`.
    """
    found = await original.containers.retrieve(original.id)
    policy = found.network_policy
    ours = getattr(found, "agent_kernel", None) or {}
    limits = {name: ours[name] for name in ("cpus", "pids", "open_files", "disk", "mounts") if ours.get(name)}
    given = {
        "memory_limit": found.memory_limit,
        "network_policy": policy.to_dict(mode="json") if policy is not None else None,
        "agent_kernel": limits,
    }
    return {name: value for name, value in given.items() if value}


async def uploads_of(original: OriginalContainer, begun: float) -> list[CopiedFile]:
    """Return the user's files in a container; `begun` as in `files_of`. Raises as `ContainerFiles.list`."""
    inputs = _inputs(await _listed(original.containers.files, original.id), begun)
    return [copied(original, each.id, each.path, each.bytes or 0) for each in inputs]


def copied(original: OriginalContainer, file_id: str, path: str, size: int) -> CopiedFile:
    """Return a file of a container, to be copied into others."""
    return CopiedFile(path, size, lambda: original.containers.files.content(original.id, file_id))


async def put_files(runtime: Runtime, container_id: str, files: Sequence[CopiedFile]) -> None:
    """Write files into a container. Raises as `ContainerFiles`, and what reading them raises."""
    for each in files:
        async with aclosing(each.content()) as chunks:
            await runtime.containers.files.create(
                container_id, path=each.path, content=chunks, size=each.size
            )
