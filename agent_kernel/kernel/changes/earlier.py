"""The files of an earlier state, as an archive for a comparison: read in a fork of its snapshot."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from contextlib import aclosing
from typing import TYPE_CHECKING

from agent_kernel.errors import AgentKernelError, CapabilityMissing, InvalidRequest
from agent_kernel.kernel.changes.comparison import SECONDS, WORKSPACE, once
from agent_kernel.kernel.render.files.inspection import command, printed

if TYPE_CHECKING:
    from agent_kernel.runtime.base import Runtime

MOST_BYTES = 80 << 20
"""The largest archive that is taken from the fork; its program writes smaller ones."""


async def archive_before(runtime: Runtime, container_id: str, snapshot_id: str) -> bytes:
    """Return the files that a snapshot of a container has, as an archive for `Question.before`.

    The fork is deleted afterwards, also after an error or a cancellation. Raises `InvalidRequest` if there is
    no answer, and what `KeepsSnapshots.fork`, `Runtime.respond` and `ContainerFiles` raise.
    """
    from agent_kernel.runtime.snapshots import KeepsSnapshots

    containers = runtime.containers
    if not isinstance(containers, KeepsSnapshots):
        raise CapabilityMissing("This runtime keeps no snapshots.")
    fork = await containers.fork(container_id, snapshot_id=snapshot_id, name="comparison")
    try:
        async with asyncio.timeout(SECONDS):
            return await _archive(runtime, fork.id)
    except TimeoutError as error:
        raise InvalidRequest(f"Reading the earlier files took more than {SECONDS:.0f} s.") from error
    finally:
        with contextlib.suppress(AgentKernelError):
            await asyncio.shield(asyncio.ensure_future(containers.delete(fork.id)))


async def _archive(runtime: Runtime, container_id: str) -> bytes:
    files = runtime.containers.files
    name = f".agent-kernel-diff-{secrets.token_hex(8)}.zip"
    made = await files.create(container_id, path=name, content=once(b""), size=0)
    run = command(json.dumps({"root": WORKSPACE, "file": made.path}), module="kept", package="diff")
    _, code = await printed(runtime, container_id, run)
    if code != 0:
        raise InvalidRequest(
            "The program that reads the earlier files did not run.", hint="It needs python3 in the container."
        )
    found = bytearray()
    async with aclosing(files.content(container_id, made.id)) as pieces:
        async for piece in pieces:
            found += piece
            if len(found) > MOST_BYTES:
                raise InvalidRequest("The earlier files are too large to compare.")
    return bytes(found)
