"""Nothing is left behind: a short run of the soak, and that the soak sees what is left."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from agent_kernel.sandboxes.base import SandboxSpec
from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from agent_kernel.sandboxes.toolbox import Toolbox
from benchmarks.soak import LEASE, count

CHECKOUT = Path(__file__).parents[2]


def _soak(backend: str, commands: int = 100, cycles: int = 5) -> dict[str, object]:
    amounts = ["--commands", str(commands), "--cycles", str(cycles)]
    command = [sys.executable, "-m", "benchmarks.soak", "--json", *amounts]
    done = subprocess.run(
        [*command, "--backend", backend], cwd=CHECKOUT, stdout=subprocess.PIPE, text=True, check=False
    )
    found: dict[str, object] = json.loads(done.stdout)
    assert done.returncode == (1 if found["left"] else 0)
    return found


@pytest.mark.docker
@pytest.mark.parametrize(("commands", "cycles"), [(3, 1), pytest.param(100, 5, marks=pytest.mark.slow)])
def test_docker_leaves_nothing(docker_engine: None, commands: int, cycles: int) -> None:
    found = _soak("docker", commands, cycles)
    assert found["left"] == {}
    assert found["commands"] == commands + 3 * cycles


@pytest.mark.slow
@pytest.mark.docker
def test_gvisor_leaves_nothing(runsc: None) -> None:
    found = _soak("docker-runsc", commands=20, cycles=2)
    assert found["left"] == {}
    assert found["commands"] == 26


@pytest.mark.bubblewrap
@pytest.mark.parametrize(("commands", "cycles"), [(20, 2), pytest.param(2000, 50, marks=pytest.mark.slow)])
def test_bubblewrap_leaves_nothing(toolbox: Toolbox, commands: int, cycles: int) -> None:
    found = _soak("bubblewrap", commands, cycles)
    assert found["left"] == {}
    assert found["commands"] == commands + 3 * cycles


@pytest.mark.bubblewrap
async def test_a_sandbox_that_was_left_is_seen(toolbox: Toolbox, tmp_path: Path) -> None:
    bubblewrap_backend = BubblewrapBackend(tmp_path, toolbox)  # whose first sandbox has no parent process
    before = await count(tmp_path, engine=False)
    ref = await bubblewrap_backend.create(SandboxSpec("left", lease=LEASE))
    stream = await bubblewrap_backend.stream(ref)
    left = (await count(tmp_path, engine=False)).left_since(before)
    await stream.aclose()
    await bubblewrap_backend.delete(ref)
    assert set(left) >= {"processes", "user_namespaces", "files", "descriptors"}
    assert not (await count(tmp_path, engine=False)).left_since(before).keys() & {"processes", "descriptors"}
