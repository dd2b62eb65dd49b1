"""Run code in a fresh container, and read the files of a container: the I/O of a verification."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from agent_kernel.errors import AgentKernelError
from agent_kernel.models.catalogue import PYTHON
from agent_kernel.runtime.base import ContainerFiles, Containers, Runtime
from agent_kernel.runtime.front_ends import ListsAllFiles

Json = Mapping[str, Any]

MOST_FILES = 2_000
LARGEST = 1 << 30
"""Bytes of all files that are compared."""
LARGEST_TEXT = 1 << 20
"""Bytes of a file whose lines are compared."""


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
class CodeRun:
    """What came of a piece of code: Jupyter's outputs, and how it ended: empty if it succeeded."""

    outputs: tuple[Json, ...] = ()
    ended: str = ""


async def files_of(containers: Containers, container_id: str) -> dict[str, WorkspaceFile]:
    """Return the files of a container by path below the workspace; at most `MOST_FILES` and `LARGEST`.

    What is beyond is left out. Raises as `runtime.base.ContainerFiles`.
    """
    found: dict[str, WorkspaceFile] = {}
    left = LARGEST
    for listed in await _listed(containers.files, container_id):
        left -= listed.bytes or 0
        if left < 0 or len(found) == MOST_FILES:
            break
        file = await _read(containers.files, container_id, listed)
        found[file.path] = file
    return found


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
    ours = getattr(listed, "agent_kernel", None)
    modified = ours.get("modified_ns", 0) / 1e9 if isinstance(ours, dict) else 0.0
    text = _text(bytes(kept)) if length <= LARGEST_TEXT else None
    path = listed.path.removeprefix("/mnt/data/")
    return WorkspaceFile(listed.id, path, length, digest.hexdigest(), text, listed.source == "user", modified)


def _text(data: bytes) -> str | None:
    try:
        return None if b"\0" in data else data.decode()
    except UnicodeDecodeError:
        return None


@asynccontextmanager
async def fresh_container(runtime: Runtime, params: Mapping[str, Any]) -> AsyncGenerator[str, None]:
    """Yield the id of a new container without a network. It is removed at the end, also when cancelled."""
    policy = {"type": "disabled"}
    made = await runtime.containers.create({"name": "verification", **params, "network_policy": policy})
    try:
        yield made.id
    finally:
        await asyncio.shield(runtime.containers.delete(made.id))


async def copy_inputs(
    containers: Containers, container_id: str, inputs: Sequence[WorkspaceFile], runtime: Runtime, fresh: str
) -> None:
    """Copy files of a container into one of another runtime. Raises as `runtime.base.ContainerFiles`."""
    for each in inputs:
        async with aclosing(containers.files.content(container_id, each.id)) as chunks:
            await runtime.containers.files.create(fresh, path=each.path, content=chunks, size=each.bytes)


async def run_code(runtime: Runtime, container_id: str, code: str) -> CodeRun:
    """Run code in the container's Python session, which keeps its variables. Cancelling ends it.

    Raises what `Runtime.respond` raises.
    """
    tool = {"type": "code_interpreter", "container": container_id, "agent_kernel": {"outputs": True}}
    request = {"model": PYTHON, "input": code, "tools": [tool], "store": False, "stream": True}
    ran = CodeRun((), "did not run")
    async with aclosing(runtime.respond(request)) as events:
        async for event in events:
            if event.type == "response.output_item.done" and event.item.type == "code_interpreter_call":
                ran = _ran(event.item.to_dict(mode="json", warnings=False))
    return ran


def _ran(item: Json) -> CodeRun:
    ours = item.get("agent_kernel") or {}
    outputs = tuple(each for each in ours.get("outputs") or () if isinstance(each, Mapping))
    errors = [each for each in outputs if each.get("output_type") == "error"]
    if errors:
        return CodeRun(outputs, f"{errors[-1].get('ename')}: {errors[-1].get('evalue')}".partition("\n")[0])
    return CodeRun(outputs, "" if item.get("status") == "completed" else "did not run to its end")


async def run_all(runtime: Runtime, container_id: str, codes: Sequence[str]) -> list[CodeRun]:
    """Run pieces of code in order. One that cannot run ends the list with the reason."""
    runs: list[CodeRun] = []
    for code in codes:
        try:
            runs.append(await run_code(runtime, container_id, code))
        except AgentKernelError as error:
            return [*runs, CodeRun((), error.message)]
    return runs
