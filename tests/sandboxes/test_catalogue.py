"""The table of backends, and a backend of another package in every command."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from agent_kernel import config
from agent_kernel.cli import compose
from agent_kernel.errors import CapabilityMissing, ConfigurationError
from agent_kernel.runtime.containers.containers import LocalContainers
from agent_kernel.sandboxes import catalogue
from agent_kernel.sandboxes.catalogue import BackendOptions
from agent_kernel.sandboxes.optional import Snapshots, Volumes, snapshots_of, volumes_of
from tests.cli.command import start
from tests.conftest import CHECKOUT


def package(folder: Path, name: str, module: str, entry: str = "broken") -> None:
    """Install a package that claims a backend's name."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[agent_kernel.backends]\n{entry} = {module}\n")


def test_unknown_name_lists_known_ones() -> None:
    with pytest.raises(ConfigurationError, match="Known backends: docker, bubblewrap") as caught:
        catalogue.kind("nonesuch")
    assert caught.value.hint


@pytest.mark.parametrize(
    ("module", "why"),
    [
        ("no_such_module:KIND", "cannot be loaded: ModuleNotFoundError"),
        ("json:KIND", "cannot be loaded: AttributeError"),
        ("json:dumps", "is no BackendKind"),
    ],
)
def test_broken_entry_point_names_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, why: str
) -> None:
    package(tmp_path, "broken-backend", module)
    monkeypatch.syspath_prepend(tmp_path)
    assert "broken" in catalogue.names()
    with pytest.raises(ConfigurationError, match=rf"package broken-backend 1\.0 {why}"):
        catalogue.make("broken", BackendOptions(tmp_path))


def test_name_claimed_twice_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package(tmp_path, "first", "json:dumps")
    package(tmp_path, "second", "json:loads")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigurationError, match=r"provided twice, by first 1\.0 and second 1\.0"):
        catalogue.kind("broken")


def test_built_in_name_cannot_be_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package(tmp_path, "thief", "json:dumps", entry="docker")
    monkeypatch.syspath_prepend(tmp_path)
    assert catalogue.names().count("docker") == 1
    assert catalogue.kind("docker").runtimes


def test_oci_runtime_is_refused_without_runtimes(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="bubblewrap has no OCI runtimes, but 'runsc'"):
        catalogue.make("bubblewrap", BackendOptions(tmp_path, runtime="runsc"))


def test_optional_parts_match_the_capabilities(toy_backend: Path, tmp_path: Path) -> None:
    for name in ("docker", "bubblewrap", "toy"):
        backend = catalogue.make(name, BackendOptions(tmp_path))
        assert backend.capabilities().snapshots == isinstance(backend, Snapshots)
        assert backend.capabilities().volumes == isinstance(backend, Volumes)


def test_toy_has_no_checkpoints_and_no_volumes(toy_backend: Path, tmp_path: Path) -> None:
    backend = catalogue.make("toy", BackendOptions(tmp_path))
    with pytest.raises(CapabilityMissing, match="toy sandboxes have no checkpoints"):
        snapshots_of(backend)
    with pytest.raises(CapabilityMissing, match="toy sandboxes have no named volumes"):
        volumes_of(backend)


@pytest.fixture
def settings(toy_backend: Path, tmp_path: Path) -> config.Settings:
    environ = {"AGENT_KERNEL_SANDBOX": "toy", "AGENT_KERNEL_DATA_DIR": str(tmp_path / "data")}
    return config.load(environ=environ, folders=[])


def environment(tmp_path: Path, own_environment: dict[str, str]) -> dict[str, str]:
    paths = [*os.environ["PYTHONPATH"].split(os.pathsep), str(CHECKOUT)]
    return {
        **own_environment,
        "PYTHONPATH": os.pathsep.join(paths),
        "AGENT_KERNEL_SANDBOX": "toy",
        "AGENT_KERNEL_DATA_DIR": str(tmp_path / "data"),
        "AGENT_KERNEL_MODEL": "scripted/demo",
    }


async def test_toy_runs_turns_and_shows_in_every_command(
    settings: config.Settings, tmp_path: Path, own_environment: dict[str, str]
) -> None:
    runtime = compose.local_runtime(settings, lease=60)
    environ = environment(tmp_path, own_environment)
    try:
        request = {
            "model": "agent_kernel/shell",
            "input": "echo one; pwd",
            "tools": [{"type": "shell", "environment": {"type": "container_auto"}}],
        }
        said = "".join([event.model_dump_json() async for event in runtime.respond(request)])
        assert "one" in said
        assert "/mnt/data" in said
        containers = (await runtime.containers.list()).data
        assert [each.model_dump()["agent_kernel"] for each in containers] == [
            {"sandbox": "toy", "isolation": "none"}
        ]
        listed = await asyncio.to_thread(start, "containers", "list", "--json", environment=environ)
        seen = [(each["sandbox"], each["status"]) for each in json.loads(listed.stdout)]
        assert seen == [("toy", "running")]
        kept = await asyncio.to_thread(
            start, "containers", "checkpoint", containers[0].id, environment=environ
        )
        assert kept.returncode == 2
        assert "toy sandboxes have no checkpoints" in kept.stderr
        await runtime.containers.delete(containers[0].id)
    finally:
        await runtime.aclose()


async def test_toy_container_expires_without_checkpoint(settings: config.Settings) -> None:
    backend, why = await compose.choose_backend(settings)
    assert why == "toy, as configured"
    store = compose.store(settings)
    containers = LocalContainers.of_all(backend, store.rows)
    try:
        made = await containers.create({})
        async with containers.use(made.id, to_run=True) as channel:
            assert [event async for event in channel.run("exit 3")]
        assert await containers.checkpoints.all() == []
        await containers.delete(made.id)
        assert await backend.list() == []
    finally:
        await containers.aclose()
        await store.aclose()


def test_doctor_reports_toy_honestly(
    toy_backend: Path, tmp_path: Path, own_environment: dict[str, str]
) -> None:
    done = start("doctor", "--json", environment=environment(tmp_path, own_environment))
    findings = {each["name"]: each for each in json.loads(done.stdout)["findings"]}
    assert findings["toy"]["ok"]
    assert findings["toy"]["needed"]
    assert "WITHOUT ISOLATION" in findings["toy"]["detail"]
    assert findings["abilities"]["detail"] == (
        "isolation none; limits open files; "
        "not available: memory, processes, processors, disk, checkpoints, volumes, mounts, network"
    )
    assert not findings["docker"]["needed"]


def test_image_build_has_nothing_to_prepare_for_toy(
    toy_backend: Path, tmp_path: Path, own_environment: dict[str, str]
) -> None:
    done = start("image", "build", environment=environment(tmp_path, own_environment))
    assert (done.returncode, done.stdout) == (0, "toy sandboxes need no preparation.\n"), done.stderr
