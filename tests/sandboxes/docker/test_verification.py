"""A container that the engine made differently from what was asked for is refused and removed."""

from __future__ import annotations

import asyncio
from typing import Any

import docker
import pytest

from agent_kernel.errors import IsolationUnavailable
from agent_kernel.sandboxes.docker import engine
from agent_kernel.sandboxes.docker.backend import DockerBackend
from agent_kernel.sandboxes.docker.container import container_name, create_arguments
from agent_kernel.sandboxes.docker.verification import differences, verify
from tests.conftest import configured_docker
from tests.sandboxes.docker.sandbox import new_spec

pytestmark = pytest.mark.docker


Made = tuple[dict[str, Any], dict[str, Any]]


@pytest.fixture(scope="module")
def made(docker_engine: None) -> Made:
    """The HostConfig that was sent, and the container as the engine shows it. Tests copy, never change."""
    return asyncio.run(_make(configured_docker()))


async def _make(backend: DockerBackend) -> Made:
    spec = new_spec()
    ref = await backend.create(spec)
    api = docker.from_env().api
    try:
        arguments = create_arguments(api, spec, image="", runtime=None, command=["x"], attempt="")
        found = engine.inspect(api, container_name(ref.id))
        assert found is not None
        return arguments["host_config"], dict(found)
    finally:
        api.close()
        await backend.delete(ref)
        await backend.aclose()


async def test_engine_keeps_what_was_asked(made: Made) -> None:
    assert differences(*made) == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("NetworkMode", "bridge"),
        ("CgroupnsMode", ""),
        ("IpcMode", "shareable"),
        ("PidMode", "host"),
        ("Privileged", True),
        ("CapAdd", ["CAP_SYS_ADMIN"]),
        ("CapDrop", []),
        ("SecurityOpt", ["no-new-privileges", "seccomp=unconfined"]),
        ("Memory", 0),
        ("PidsLimit", None),
        ("Ulimits", []),
        ("LogConfig", {"Type": "json-file"}),
        ("Devices", [{"PathOnHost": "/dev/kvm"}]),
    ],
)
async def test_each_difference_is_found(made: Made, field: str, value: object) -> None:
    asked, found = made
    weaker = {**found, "HostConfig": {**found["HostConfig"], field: value}}
    (said,) = differences(asked, weaker)
    assert said.startswith(field)


UNNAMED = {
    "Type": "volume", "Name": "ab" * 32, "Driver": "local", "Destination": "/cache", "RW": True,
}  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {"Type": "bind"},
        {"Name": "somebodys"},
        {"Driver": "nfs"},
        {"Destination": "/other"},
    ],
)
async def test_only_unnamed_volumes_of_the_image_are_expected(made: Made, change: dict[str, str]) -> None:
    asked, found = made
    image = {**found, "Config": {**found["Config"], "Volumes": {"/cache": {}}}}
    assert differences(asked, {**image, "Mounts": [*found["Mounts"], UNNAMED]}) == []
    (said,) = differences(asked, {**image, "Mounts": [*found["Mounts"], {**UNNAMED, **change}]})
    assert said.startswith("the mounts are")


async def test_ignored_runtime_is_found(made: Made) -> None:
    """Podman shows `oci` and runs its default, whatever was asked for."""
    asked, found = made
    podman = {**found, "HostConfig": {**found["HostConfig"], "Runtime": "oci"}}
    assert differences({**asked, "Runtime": "runsc"}, podman) == ["Runtime is 'oci', not 'runsc'"]


async def test_weaker_container_is_refused_and_removed(
    docker_backend: DockerBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the engine made is compared with another wish, as if the engine had ignored it."""
    spec = new_spec()

    def expecting(api: Any, name: str, asked: Any) -> None:
        verify(api, name, {**asked, "NetworkMode": "another"})

    monkeypatch.setattr("agent_kernel.sandboxes.docker.start.verify", expecting)
    with pytest.raises(IsolationUnavailable, match="NetworkMode is 'none', not 'another'"):
        await docker_backend.create(spec)
    assert spec.id not in [ref.id for ref in await docker_backend.list()]
