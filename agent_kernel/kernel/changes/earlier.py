"""Earlier states of a container for a comparison: forks of its snapshots, and archives of their files."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING

from agent_kernel.errors import AgentKernelError, CapabilityMissing, InvalidRequest
from agent_kernel.kernel.changes.comparison import SECONDS, WORKSPACE, once, understood
from agent_kernel.kernel.render.files.inspection import command, printed

if TYPE_CHECKING:
    from agent_kernel.runtime.base import Runtime

MOST_BYTES = 80 << 20
"""The largest archive that is taken from the fork; its program writes smaller ones."""


async def archive_before(runtime: Runtime, container_id: str, snapshot_id: str) -> bytes:
    """Return the files that a snapshot of a container has, as an archive for `Question.before`.

    Raises `InvalidRequest` if there is no answer, and what `earlier_state`, `Runtime.respond` and
    `ContainerFiles` raise.
    """
    async with earlier_state(runtime, container_id, snapshot_id) as fork_id:
        try:
            async with asyncio.timeout(SECONDS):
                return await _archive(runtime, fork_id)
        except TimeoutError as error:
            raise InvalidRequest(f"Reading the earlier files took more than {SECONDS:.0f} s.") from error


@contextlib.asynccontextmanager
async def earlier_state(runtime: Runtime, container_id: str, snapshot_id: str) -> AsyncGenerator[str, None]:
    """Yield the id of a container that is as a snapshot of another one.

    It is deleted afterwards, also after an error or a cancellation. Raises what `KeepsSnapshots.fork` raises.
    """
    from agent_kernel.runtime.snapshots import KeepsSnapshots

    containers = runtime.containers
    if not isinstance(containers, KeepsSnapshots):
        raise CapabilityMissing("This runtime keeps no snapshots.")
    fork = await containers.fork(container_id, snapshot_id=snapshot_id, name="comparison")
    try:
        yield fork.id
    finally:
        with contextlib.suppress(AgentKernelError):
            await asyncio.shield(asyncio.ensure_future(containers.delete(fork.id)))


async def _archive(runtime: Runtime, container_id: str) -> bytes:
    files = runtime.containers.files
    name = f".agent-kernel-diff-{secrets.token_hex(8)}.zip"
    made = await files.create(container_id, path=name, content=once(b""), size=0)
    run = command(json.dumps({"root": WORKSPACE, "file": made.path}), module="kept", package="diff")
    understood(*await printed(runtime, container_id, run))
    found = bytearray()
    async with aclosing(files.content(container_id, made.id)) as pieces:
        async for piece in pieces:
            found += piece
            if len(found) > MOST_BYTES:
                raise InvalidRequest("The earlier files are too large to compare.")
    return bytes(found)
