"""A notebook's session in the other sandbox: a kernel resumes it there, and its branches open."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent_kernel.sandboxes.base import Backend
from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from agent_kernel.sandboxes.toolbox import Toolbox
from tests.cli.moving import Environment, done, other_folder
from tests.conftest import configured_docker
from tests.kernel.keeping.kernels import Machine


@pytest.fixture
def machines(toolbox: Toolbox, own_environment: Environment, tmp_path: Path) -> Iterator[dict[str, Machine]]:
    backends: dict[str, Callable[[Path], Backend]] = {
        "bubblewrap": lambda folder: BubblewrapBackend(folder, toolbox),
        "docker": lambda _: configured_docker(),
    }
    found = {}
    for name, backend in backends.items():
        environment = other_folder(own_environment, tmp_path, name)
        found[name] = Machine(Path(environment["AGENT_KERNEL_DATA_DIR"]), backend)
    yield found
    for machine in found.values():
        asyncio.run(machine.clear())


@pytest.mark.slow
@pytest.mark.docker
@pytest.mark.bubblewrap
@pytest.mark.usefixtures("docker_engine")
@pytest.mark.parametrize(("here", "there"), [("bubblewrap", "docker"), ("docker", "bubblewrap")])
def test_moved_notebook_resumes_with_its_branches(
    machines: dict[str, Machine], own_environment: Environment, tmp_path: Path, here: str, there: str
) -> None:
    async def begin() -> str:
        async with machines[here].kernel() as kernel:
            await kernel.run("remember", "a")
            await kernel.run("!echo two >/mnt/data/file; X=2", "b")
            await kernel.run("!echo three >/mnt/data/file; X=3", "b")
            assert kernel.notebook.kept.session is not None
        return kernel.notebook.kept.session.id

    session_id, file = asyncio.run(begin()), str(tmp_path / "moved.session")
    done("export", session_id, file, environment=other_folder(own_environment, tmp_path, here))
    done("import", file, environment=other_folder(own_environment, tmp_path, there))

    async def go_on() -> tuple[str, str, str, str]:
        async with machines[there].kernel(killed=True) as kernel:
            back = "".join(await kernel.run(f"%session resume {session_id}"))
            now = "".join(await kernel.run("!cat /mnt/data/file; echo $X"))
            said = "".join(await kernel.run("what was it"))
            await kernel.run("%branch switch b2")
            return back, now, said, "".join(await kernel.run("!cat /mnt/data/file; echo $X"))

    back, now, said, branch = asyncio.run(go_on())
    assert "Resumed session" in back
    assert "conversation" in back
    assert "three\n3" in now
    assert "It was blue." in said
    assert "two\n2" in branch
