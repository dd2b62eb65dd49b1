"""The configurations for a hub on one machine, for The Littlest JupyterHub, and for a hub on Kubernetes."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from traitlets.config import Config
from traitlets.config.loader import LazyConfigValue

from tests.conftest import CHECKOUT

FOLDER = CHECKOUT / "images" / "jupyterhub"
CULLER = {"name": "cull-idle", "command": ["cull"]}


def read(text: str, config: Config) -> dict[str, Any]:
    """Run a configuration as JupyterHub does; return its names."""
    names: dict[str, Any] = {"get_config": lambda: config, "c": config}
    exec(compile(text, "config", "exec"), names)
    return names


def shipped() -> str:
    return (FOLDER / "jupyterhub_config.py").read_text()


def on_kubernetes() -> str:
    values = yaml.safe_load((FOLDER / "z2jh.yaml").read_text())
    return str(values["hub"]["extraConfig"]["agent-kernel"])


def test_services_of_the_littlest_jupyterhub_stay() -> None:
    """It reads files like ours last, when its culler of idle servers is a service already."""
    config = Config()
    config.JupyterHub.services = [CULLER]
    read(shipped(), config)
    assert [each["name"] for each in config.JupyterHub.services] == ["cull-idle", "agent-kernel"]


def test_alone_the_server_is_the_service() -> None:
    config = Config()
    read(shipped(), config)
    services: LazyConfigValue = config.JupyterHub.services
    assert [each["name"] for each in services.get_value([])] == ["agent-kernel"]


@pytest.mark.parametrize("where", [shipped, on_kubernetes])
def test_each_user_gets_a_key_that_replaces_the_last(
    own_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, where: Any
) -> None:
    for name, value in own_environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    give_key = read(where(), Config())["give_key"]

    async def given(user: str) -> str:
        spawner = SimpleNamespace(user=SimpleNamespace(name=user), environment={"KEPT": "1"})
        await give_key(spawner)
        assert set(spawner.environment) == {"KEPT", "AGENT_KERNEL_RUNTIME_URL", "AGENT_KERNEL_API_KEY"}
        return str(spawner.environment["AGENT_KERNEL_API_KEY"])

    async def all_given() -> list[str]:
        return [await given(user) for user in ("alice", "alice", "Bob@example.org")]

    keys = asyncio.run(all_given())
    assert len(set(keys)) == 3
    listed = subprocess.run(
        [sys.executable, "-m", "agent_kernel", "keys", "list"], capture_output=True, text=True, check=True
    ).stdout
    assert listed.count("hub-alice") == 1
    assert listed.count("hubx-") == 1
