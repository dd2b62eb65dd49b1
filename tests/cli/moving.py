"""Sessions to move and to delete: made through the runtime of a data folder, as a kernel does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from agent_kernel.cli import compose
from agent_kernel.config import load
from agent_kernel.runtime.kept import KeptSession
from agent_kernel.runtime.local import LocalRuntime
from tests.cli.command import Done, _environment, call
from tests.runtime.test_contract import run, turn

Environment = dict[str, str]
T = TypeVar("T")


@asynccontextmanager
async def runtime_of(environment: Environment) -> AsyncIterator[LocalRuntime]:
    """Open the runtime of a data folder. Its containers live on."""
    runtime = compose.local_runtime(load(environ=environment), lease=600)
    try:
        yield runtime
    finally:
        await runtime.aclose()


def in_runtime(environment: Environment, work: Callable[[LocalRuntime], Awaitable[T]]) -> T:
    """Do something in the runtime of a data folder, in this environment."""

    async def main() -> T:
        async with runtime_of(environment) as runtime:
            return await work(runtime)

    with _environment(environment):
        return asyncio.run(main())


def other_folder(environment: Environment, folder: Path, sandbox: str) -> Environment:
    """Return the environment of another machine: its own data folder, and a sandbox."""
    before = Path(environment["AGENT_KERNEL_DATA_DIR"])
    data = folder / sandbox
    if not data.exists():
        data.mkdir(mode=0o700)
        for name in ("toolbox", "boxd"):
            (data / name).symlink_to((before / name).resolve())
    return {
        **environment,
        "AGENT_KERNEL_DATA_DIR": str(data),
        "AGENT_KERNEL_SANDBOX": sandbox,
        "AGENT_KERNEL_MODEL": f"scripted/{Path(__file__).with_suffix('.yaml')}",
    }


def shell(container_id: str) -> Mapping[str, Any]:
    return {
        "tools": [
            {"type": "shell", "environment": {"type": "container_reference", "container_id": container_id}}
        ]
    }


async def kept(runtime: LocalRuntime, prompts: list[str], commands: list[str], **state: Any) -> KeptSession:
    """Run commands in a new container, then turns of the default model, and keep the session."""
    container = (await runtime.containers.create({"name": "mine"})).id
    for command in commands:
        await run(runtime, command, container)
    last: str | None = None
    for prompt in prompts:
        response = await turn(runtime, prompt, previous_response_id=last, **shell(container))
        assert response.status == "completed", response.error
        last = response.id
    return await runtime.keep_session(
        KeptSession(name="moved", response_id=last, container_id=container, state=state)
    )


async def cleared(runtime: LocalRuntime) -> None:
    """Remove every container and every checkpoint."""
    for each in (await runtime.containers.list(limit=100)).data:
        await runtime.containers.delete(each.id)
    for snapshot in await runtime.containers.checkpoints.all():
        await runtime.containers.checkpoints.remove(snapshot)


def session(*words: str, environment: Environment) -> Done:
    """Call `agent-kernel session`."""
    return call("session", *words, environment=environment)


def done(*words: str, environment: Environment) -> str:
    """Call it, and expect that it succeeds."""
    found = session(*words, environment=environment)
    assert found.returncode == 0, found.stderr
    return found.stdout
