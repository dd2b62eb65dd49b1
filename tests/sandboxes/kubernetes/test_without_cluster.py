"""A machine without a cluster: each way to have none gets its own words."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from agent_kernel.errors import EngineUnavailable, SandboxUnreachable
from agent_kernel.sandboxes.base import SandboxSpec
from agent_kernel.sandboxes.kubernetes.backend import KubernetesBackend
from agent_kernel.sandboxes.kubernetes.settings import KubernetesSettings


def backend(**settings: str) -> KubernetesBackend:
    return KubernetesBackend("tools:1", None, KubernetesSettings(**settings))  # type: ignore[arg-type]


def configured(path: Path, server: str) -> str:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "one",
        "contexts": [{"name": "one", "context": {"cluster": "one", "user": "one"}}],
        "clusters": [{"name": "one", "cluster": {"server": server}}],
        "users": [{"name": "one", "user": {"token": "secret-of-the-test"}}],
    }
    path.write_text(json.dumps(config))
    return str(path)


async def test_no_configuration_is_said(tmp_path: Path) -> None:
    probe = await backend(kubeconfig=str(tmp_path / "none")).probe()
    assert not probe.ok
    assert "No Kubernetes cluster is configured" in probe.detail
    assert "KUBECONFIG" in (probe.hint or "")


async def test_unknown_context_is_said(tmp_path: Path) -> None:
    path = configured(tmp_path / "config", "http://127.0.0.1:1")
    with pytest.raises(EngineUnavailable, match="other"):
        await backend(kubeconfig=path, context="other").create(SandboxSpec("a"))


async def test_silent_server_is_named(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        server = f"http://127.0.0.1:{free.getsockname()[1]}"
    tried = backend(kubeconfig=configured(tmp_path / "config", server))
    try:
        with pytest.raises(EngineUnavailable, match=f"{server} does not answer") as caught:
            await tried.create(SandboxSpec("a"))
        assert "secret-of-the-test" not in str(caught.value)
        with pytest.raises(SandboxUnreachable, match=r"The connection .* ended\. .* does not answer"):
            await tried._explain("a")  # a stream has ended, perhaps for the same reason: a host may come back
    finally:
        await tried.aclose()
