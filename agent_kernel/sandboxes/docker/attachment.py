"""Later streams into a running container: how one is opened, and why one ended or was refused."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agent_kernel.errors import SandboxError, SandboxGone, SandboxUnreachable
from agent_kernel.sandboxes import launch
from agent_kernel.sandboxes.base import Status
from agent_kernel.sandboxes.docker.address import Address
from agent_kernel.sandboxes.docker.container import container_name
from agent_kernel.sandboxes.docker.engine import Engine, reason
from agent_kernel.sandboxes.docker.exit_watcher import ContainerEnd
from agent_kernel.sandboxes.docker.start import PYTHON
from agent_kernel.sandboxes.docker.stream import DockerStream, hijack
from agent_kernel.sandboxes.near.process_socket import reach
from agent_kernel.sandboxes.socket_stream import Hook, SocketStream

if TYPE_CHECKING:
    from docker import APIClient

_DYING_SECONDS = 2.0


async def attach(api: APIClient, address: Address, name: str) -> DockerStream:
    """Start boxd's attach program inside, and return its streams.

    Raises `RequestRefused`, `OSError`, and docker-py's errors.
    """
    argv = launch.attach_argv(python=PYTHON, path=launch.SOCKET)
    made = await asyncio.to_thread(api.exec_create, name, argv, stdin=True, user="0:0")
    return await hijack(address, f"/v{api.api_version}/exec/{made['Id']}/start", {})


async def enter(
    address: Address, container: Mapping[str, Any], end: ContainerEnd, on_end: Hook
) -> SocketStream | None:
    """Return a stream that the engine does not carry; None where this process cannot reach boxd itself.

    `container` is what the engine says about it; `end` is closed with the stream.
    """
    if address.path is None:  # the engine is on another machine
        return None
    connected = await reach(container["State"]["Pid"], container["Id"], launch.SOCKET)
    if connected is None:
        return None
    end.then(lambda: None)
    return await SocketStream.open(connected, on_end, end.aclose)


async def explain_end(engine: Engine, id: str, end: ContainerEnd) -> None:  # noqa: A002 (the field's own word)
    """Raise `SandboxUnreachable`, or `SandboxGone` with a known reason if the sandbox has ended.

    The engine closes the streams of a dying container a moment before it knows the container as dead.
    """
    if not await engine.ends(container_name(id), within=_DYING_SECONDS):
        raise SandboxUnreachable(
            f"The connection to the sandbox {id} ended, but the sandbox is still running."
        )
    why = await end.reason(within=_DYING_SECONDS)
    if why == "out of memory":
        raise SandboxGone(
            f"The sandbox {id} ran out of memory, and was ended with all that was in it.",
            hint="Ask for a larger memory_limit.",
        )
    if why == "killed":
        raise SandboxGone(f"The sandbox {id} was ended from outside, or ran out of memory.")


def refusal(id: str, status: Status, error: Exception) -> SandboxError:  # noqa: A002
    """Return the error for a stream that the engine refused: the sandbox is dead, or does not answer."""
    if status == "dead":
        return SandboxGone(f"The sandbox {id} is dead: it was ended from outside or ran out of memory.")
    if status == "unreachable":
        return SandboxUnreachable(f"The sandbox {id} is paused.", hint=f"docker unpause {container_name(id)}")
    return SandboxUnreachable(f"The engine gave no stream into the sandbox {id}: {reason(error)}.")
