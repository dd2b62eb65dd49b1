"""What pods cannot have, and API servers that cannot serve: refused before anything is made."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from agent_kernel.errors import EngineUnavailable, LimitUnavailable, SandboxError, SandboxGone
from agent_kernel.sandboxes.base import SandboxSpec
from agent_kernel.sandboxes.kubernetes.cluster import Cluster
from agent_kernel.sandboxes.kubernetes.settings import KubernetesSettings
from agent_kernel.sandboxes.mounts import HostMount
from tests.sandboxes.kubernetes.test_without_cluster import backend, configured


@pytest.mark.parametrize(
    ("asked", "error", "words"),
    [
        ({"disk": 64 << 20}, LimitUnavailable, "no limit on their root file system"),
        ({"mounts": (HostMount("data", "/srv"),)}, LimitUnavailable, "mount no folders of the host"),
        ({"snapshot": "ckpt_1"}, SandboxGone, "no checkpoint ckpt_1"),
    ],
)
async def test_what_pods_cannot_have_is_said(
    asked: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        await backend().create(SandboxSpec("a", **asked))


class ApiServer:
    """An API server of one's own words."""

    def __init__(self) -> None:
        self.version: dict[str, object] = {"gitVersion": "v1.18.20"}
        self.status = 200
        self.exec_status = 101
        self.asked: list[str] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path)
        if request.path.endswith("/exec") and self.exec_status == 101:
            socket = web.WebSocketResponse()  # of an agreed protocol it says nothing
            await socket.prepare(request)
            await socket.close()
            return socket
        return web.json_response(self.version, status=self.status)


@pytest.fixture
async def api() -> AsyncIterator[ApiServer]:
    server = ApiServer()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield server
    await runner.cleanup()


@pytest.mark.parametrize(
    ("status", "said", "words"),
    [
        (200, {"gitVersion": "v1.18.20"}, r"is of version v1\.18\.20; sandboxes need 1\.19"),
        (200, {"gitVersion": "v0.9"}, "sandboxes need"),
        (200, {}, "is of version None"),
        (401, {"message": "Unauthorized"}, "does not accept this account"),
        (403, {"message": "no"}, "may not get the version"),
        (404, {"message": "nothing here"}, "does not tell its version: nothing here"),
    ],
)
async def test_old_server_is_refused(
    api: ApiServer, tmp_path: Path, status: int, said: dict[str, object], words: str
) -> None:
    api.status, api.version = status, said
    tried = backend(kubeconfig=configured(tmp_path / "config", api.url))
    try:
        with pytest.raises(EngineUnavailable, match=words) as caught:
            await tried.create(SandboxSpec("a"))
        assert caught.value.hint
        assert api.asked == ["/version"]
        assert not (await tried.probe()).ok
    finally:
        await tried.aclose()


@pytest.mark.parametrize(
    ("said", "verb", "rule"),
    [
        (
            'pods is forbidden: User "a" cannot list resource "pods" in API group "" in the namespace "d"',
            "list pods",
            '{apiGroups: [""], resources: ["pods"], verbs: ["list"]}',
        ),
        (
            'it is forbidden: User "a" cannot create resource "networkpolicies" '
            'in API group "networking.k8s.io" in the namespace "d"',
            "create networkpolicies",
            '{apiGroups: ["networking.k8s.io"], resources: ["networkpolicies"], verbs: ["create"]}',
        ),
        ("", "get pods", '{apiGroups: [""], resources: ["pods"], verbs: ["get"]}'),
    ],
)
async def test_missing_right_names_the_verb_and_the_rule(
    api: ApiServer, tmp_path: Path, said: str, verb: str, rule: str
) -> None:
    api.status, api.version = 403, {"reason": "Forbidden", "message": said}
    cluster = Cluster(KubernetesSettings(kubeconfig=configured(tmp_path / "config", api.url)))
    try:
        with pytest.raises(EngineUnavailable, match=f"may not {verb} in the namespace default") as caught:
            await cluster.ask("GET", "pods")
        assert caught.value.hint == f"Add this rule to its Role there: {rule}"
    finally:
        await cluster.aclose()


async def test_missing_right_to_watch_and_to_connect_is_named(api: ApiServer, tmp_path: Path) -> None:
    api.status, api.version = 403, {"reason": "Forbidden", "message": "User cannot"}
    cluster = Cluster(KubernetesSettings(kubeconfig=configured(tmp_path / "config", api.url)))
    try:
        with pytest.raises(EngineUnavailable, match=r"^This account may not watch pods in") as caught:
            await anext(cluster.watch("pods", "a", 1))
        assert (caught.value.hint or "").endswith('resources: ["pods"], verbs: ["watch"]}')
        api.exec_status = 403
        with pytest.raises(EngineUnavailable, match="may not create and get pods/exec in") as caught:
            await cluster.exec("agent-kernel-a", "sandbox", ["true"])
        assert (caught.value.hint or "").endswith('resources: ["pods/exec"], verbs: ["create", "get"]}')
    finally:
        await cluster.aclose()


async def test_server_without_our_protocol_is_refused(api: ApiServer, tmp_path: Path) -> None:
    cluster = Cluster(KubernetesSettings(kubeconfig=configured(tmp_path / "config", api.url)))
    try:
        with pytest.raises(SandboxError, match="agreed on the protocol None"):
            await cluster.exec("agent-kernel-a", "sandbox", ["true"])
    finally:
        await cluster.aclose()
