"""A kept session after the Docker Engine was restarted, with an engine of the test's own."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent_kernel.sandboxes.docker.backend import DockerBackend
from agent_kernel.sandboxes.docker.image import DEFAULT_IMAGE
from tests.conftest import Missing
from tests.kernel.keeping.kernels import Machine
from tests.sandboxes.docker.private_engine import PrivateEngine, lacking

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def engine(docker_engine: None, missing: Missing, monkeypatch: pytest.MonkeyPatch) -> Iterator[PrivateEngine]:
    if (why := lacking()) is not None:
        missing(why)
    with tempfile.TemporaryDirectory(prefix="agent-kernel-engine-", dir="/var/tmp") as folder:
        engine = PrivateEngine(Path(folder))
        try:
            engine.start(live_restore=False)
            yield engine
        finally:
            engine.end()


@pytest.mark.parametrize("killed", [False, True], ids=["kernel shut down", "kernel killed"])
async def test_restarted_engine_brings_a_session_back(
    engine: PrivateEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed: bool
) -> None:
    image = engine.load(DEFAULT_IMAGE)
    monkeypatch.setenv("DOCKER_HOST", engine.url)
    machine = Machine(tmp_path, lambda _: DockerBackend(image))
    async with machine.kernel(killed=killed) as kernel:
        await kernel.run("remember")
        container = kernel.container
    engine.kill()
    engine.start(live_restore=False)
    async with machine.kernel() as kernel:
        shown = await kernel.run("!cat /mnt/data/kept.txt; echo ${COLOUR-unset}")
        shell = "" if killed else "shell state, "
        assert f"files, packages, {shell}conversation and the history of 1 cell are back." in shown[0]
        assert f"kept\n{'unset' if killed else 'blue'}" in "".join(shown[1:])
        assert kernel.container == container
    await machine.clear()
