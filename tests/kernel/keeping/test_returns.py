"""What a kept session brings back after its sandbox, its machine or its checkpoint is gone."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent_kernel.errors import NotFound
from agent_kernel.runtime.containers.settings import CheckpointPolicy
from agent_kernel.sandboxes.base import Backend
from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from agent_kernel.sandboxes.toolbox import Toolbox
from tests.conftest import BUBBLEWRAP, RUNC, configured_docker
from tests.kernel.keeping.kernels import KeptKernel, Machine
from tests.runtime.containers.lifecycle import age
from tests.runtime.containers.test_deaths import by_engine

ALL_BACK = "files, packages, shell state, conversation and the history of 1 cell are back."
ONLY_SAID = "conversation and the history of 1 cell are back. Its files, packages and shell state are gone: "


@pytest.fixture(params=[BUBBLEWRAP, RUNC])
def backend_name(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if name == "docker":
        request.getfixturevalue("docker_engine")
    return name


@pytest.fixture(params=["local", "remote"])
async def machine(
    request: pytest.FixtureRequest, backend_name: str, tmp_path: Path, toolbox: Toolbox
) -> AsyncIterator[Machine]:
    def backend(folder: Path) -> Backend:
        return configured_docker() if backend_name == "docker" else BubblewrapBackend(folder, toolbox)

    machine = Machine(tmp_path / "one", backend, remote=request.param == "remote")
    machine.folder.mkdir()
    yield machine
    await machine.clear()


async def killed(machine: Machine, container: str) -> None:
    """End a sandbox as a reboot or the end of the engine does it: its files stay on the disk."""
    backend = machine.backend(machine.folder)
    await backend.get(container)
    await by_engine(backend, container)
    await backend.aclose()


async def removed(machine: Machine, container: str) -> None:
    """Remove a sandbox with its files."""
    backend = machine.backend(machine.folder)
    await backend.delete(await backend.get(container))
    await backend.aclose()


async def conversation(kernel: KeptKernel) -> str:
    """What the model is told to continue, oldest first."""
    rows = await kernel.local._rows.chain(str(kernel.notebook.previous_id))
    return " ".join(str(row.input) for row in rows)


async def test_shut_down_kernel_brings_the_shell_back(machine: Machine) -> None:
    async with machine.kernel() as kernel:
        await kernel.run("remember")
        container = kernel.container
    await removed(machine, container)
    async with machine.kernel() as kernel:
        shown = await kernel.run("what was it")
        assert shown[0].startswith(f"Resumed session `notebook`, kept just now: {ALL_BACK}")
        assert "because its sandbox had ended: background processes" in shown[0]
        assert shown[-1] == "It was blue."
        assert kernel.container == container
        assert "remember" in await conversation(kernel)


async def test_killed_machine_brings_the_files_back(machine: Machine) -> None:
    async with machine.kernel(killed=True) as kernel:
        await kernel.run("remember")
        container = kernel.container
    await killed(machine, container)
    async with machine.kernel() as kernel:
        shown = await kernel.run("!cat /mnt/data/kept.txt; echo ${COLOUR-unset}")
        assert "files, packages, conversation and the history of 1 cell are back." in shown[0]
        assert "shell variables and directory, background processes" in shown[0]
        assert "kept\nunset" in "".join(shown[1:])


@pytest.mark.shown_on("local")
async def test_lost_sandbox_leaves_the_conversation(machine: Machine) -> None:
    async with machine.kernel(killed=True) as kernel:
        await kernel.run("remember")
        await removed(machine, kernel.container)
    async with machine.kernel() as kernel:
        shown = await kernel.run("say hello")
        assert f"{ONLY_SAID}its sandbox had ended, and its files could not be kept." in shown[0]
        said = await conversation(kernel)
        assert "remember" in said
        assert "new, empty one" in said, "the model knows"


@pytest.mark.shown_on("local")
async def test_pruned_checkpoint_leaves_the_conversation(machine: Machine) -> None:
    async with machine.kernel(killed=True) as kernel:
        await kernel.run("remember")
        container = kernel.container
    policy = CheckpointPolicy(kept_size=0)
    async with machine.kernel(killed=True, checkpoints=policy) as kernel:
        store = kernel.local._tenants.parts.store.rows
        await age(store, container)
        await kernel.local.containers._lifecycle._expiration.expire(9e9)
        await kernel.local.containers.checkpoints.prune()
    async with machine.kernel() as kernel:
        shown = await kernel.run("say hello")
        why = "its container had expired, and its checkpoint was removed or could not be taken."
        assert ONLY_SAID + why in shown[0]
        assert "remember" in await conversation(kernel)


@pytest.mark.shown_on("local")
async def test_deleted_container_and_responses_invent_nothing(machine: Machine) -> None:
    async with machine.kernel(killed=True) as kernel:
        await kernel.run("remember")
        await kernel.runtime.delete(str(kernel.notebook.previous_id))
        await kernel.runtime.containers.delete(kernel.container)
    async with machine.kernel() as kernel:
        shown = await kernel.run("say hello")
        assert "gone: its container was deleted." in shown[0]
        assert "Its conversation is gone: it is no longer stored. The model begins anew." in shown[0]
        rows = await kernel.local._rows.chain(str(kernel.notebook.previous_id))
        assert len(rows) == 1


@pytest.mark.shown_on("local")
async def test_store_on_another_machine_goes_on(machine: Machine, tmp_path: Path, backend_name: str) -> None:
    async with machine.kernel() as kernel:
        await kernel.run("remember")
        container = kernel.container
    await killed(machine, container)
    other = Machine(tmp_path / "two", machine.backend, machine.remote)
    copying = await asyncio.create_subprocess_exec("cp", "-a", machine.folder, other.folder)
    assert await copying.wait() == 0
    if backend_name == "bubblewrap":
        shutil.rmtree(machine.folder)
        machine.folder.mkdir()
    else:  # the engine of the other machine has no such sandbox and no such image
        await machine.clear()
    async with other.kernel() as kernel:
        shown = await kernel.run("what was it" if backend_name == "bubblewrap" else "say hello")
        if backend_name == "bubblewrap":
            assert ALL_BACK in shown[0]
            assert shown[-1] == "It was blue."
        else:
            assert ONLY_SAID in shown[0]
        assert "remember" in await conversation(kernel)
    await other.clear()


@pytest.mark.shown_on("local")
async def test_forgotten_session_is_not_found_again(machine: Machine) -> None:
    async with machine.kernel() as kernel:
        await kernel.run("remember")
        await kernel.run("%session forget")
        container = kernel.container
    async with machine.kernel() as kernel:
        assert "Resumed" not in "".join(await kernel.run("say hello"))
        with pytest.raises(NotFound):
            await kernel.runtime.containers.retrieve(container)
