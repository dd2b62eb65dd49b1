"""Podman's service as the engine: what it cannot do is refused, and the rest passes the contract suite."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

from agent_kernel.errors import IsolationUnavailable
from agent_kernel.sandboxes.docker.podman import check_runtime, is_podman, less, limits
from tests.conftest import CHECKOUT, Missing


@pytest.fixture
def service(missing: Missing) -> None:
    """Require what `.ci/podman` needs."""
    if os.geteuid() != 0 or shutil.which("podman") is None:
        missing("Needs root and podman (apt-get install podman).")


PROBE = """
import asyncio, json
from agent_kernel.sandboxes.docker.backend import DockerBackend

async def probe(runtime):
    backend = DockerBackend("agent-kernel/none:1", runtime)
    try:
        found = await backend.probe()
        return found.ok, found.detail, found.hint, await backend.snapshots(), await backend.volumes()
    finally:
        await backend.aclose()

for runtime in (None, "runc", "runsc", "kata", "nonesuch"):
    print(json.dumps([runtime, *asyncio.run(probe(runtime))]))
"""


def over_podman(*command: str, timeout: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(CHECKOUT / ".ci" / "podman"), *command],
        capture_output=True,
        text=True,
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        timeout=timeout,
    )


@pytest.mark.usefixtures("service")
def test_runtimes_are_refused_unless_podmans_own() -> None:
    done = over_podman("--empty", sys.executable, "-c", PROBE, timeout=120)
    assert done.returncode == 0, done.stderr
    said = {line[0]: line[1:] for line in map(json.loads, done.stdout.splitlines())}
    for runtime in (None, "runc"):  # accepted: only the image is missing
        assert said[runtime][1] == "The engine has no image agent-kernel/none:1."
    for runtime in ("runsc", "kata"):
        assert said[runtime][1].startswith("Podman ignores the isolation runtime")
        assert f'runtime = "{runtime}"' in said[runtime][2]
    assert "no isolation runtime 'nonesuch'" in said["nonesuch"][1]
    assert {(each[0], *map(str, each[3:])) for each in said.values()} == {(False, "[]", "[]")}


@pytest.mark.parametrize("runtime", ["runsc", "kata", "crun", "/usr/bin/runsc"])
def test_each_other_runtime_is_refused(runtime: str) -> None:
    info = {"BuildahVersion": "1.28.2", "DefaultRuntime": "runc"}
    assert is_podman(info)
    check_runtime(info, None)
    check_runtime(info, "runc")
    with pytest.raises(IsolationUnavailable, match=f"would run runc, not {runtime}"):
        check_runtime(info, runtime)


@pytest.mark.parametrize(("version", "said"), [("1", True), ("2", False), (None, False)])
def test_doctor_tells_an_unbounded_folder(version: str | None, said: bool) -> None:
    detail = less({"BuildahVersion": "1.28.2", "CgroupVersion": version})
    assert ("/sys/fs/cgroup in a sandbox can be filled" in detail) == said
    assert "runtime per container" in detail


def test_process_limit_is_sent_once() -> None:
    own = [{"Name": "nproc", "Soft": 7, "Hard": 7}]
    assert limits(own) == own
    assert [each["Name"] for each in limits([{"Name": "core"}])] == ["core", "nproc"]


@pytest.mark.usefixtures("service")
@pytest.mark.slow
@pytest.mark.docker
@pytest.mark.timeout(1900)
def test_contract_suite_passes_over_podman(docker_engine: None) -> None:
    suite = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/sandboxes/contract")
    posture = "tests/sandboxes/test_posture.py::test_docker_with_runc"
    done = over_podman(*suite, posture, "-m", "not slow", "-k", "docker and not runsc", timeout=1800)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout
