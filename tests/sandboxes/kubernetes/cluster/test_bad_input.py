"""A cluster that refuses: what is wrong is said, and nothing is left behind."""

from __future__ import annotations

import json
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent_kernel.errors import (
    AgentKernelError,
    ConfigurationError,
    EngineUnavailable,
    ImageMissing,
    IsolationUnavailable,
    LimitReached,
    SandboxStartFailed,
)
from agent_kernel.sandboxes.base import SandboxSpec
from agent_kernel.sandboxes.kubernetes.backend import KubernetesBackend
from agent_kernel.sandboxes.kubernetes.cluster import Cluster
from agent_kernel.sandboxes.kubernetes.settings import KubernetesSettings
from tests.sandboxes.inside import new_id
from tests.sandboxes.kubernetes.cluster.conftest import IMAGE

DOCS = Path(__file__).parents[4] / "docs" / "kubernetes.md"


async def refused(error: type[AgentKernelError], words: str, image: str = IMAGE, **settings: object) -> None:
    """Create a sandbox, which fails, and look that no pod is there, and no claim stays."""
    asked = KubernetesSettings(**{"accept_open_network": True, **settings})  # type: ignore[arg-type]
    backend = KubernetesBackend(image, None, asked)
    try:
        with pytest.raises(error, match=words):
            await backend.create(SandboxSpec(new_id()))
        if error not in (ConfigurationError, EngineUnavailable):
            cluster = backend._cluster
            assert (await cluster.ask("GET", "pods"))["items"] == []
            claims = (await cluster.ask("GET", "persistentvolumeclaims"))["items"]
            # The cluster lets go of one a moment after its pod.
            assert [each for each in claims if "deletionTimestamp" not in each["metadata"]] == []
    finally:
        await backend.aclose()


async def test_missing_image_is_named(namespace: str) -> None:
    await refused(
        ImageMissing,
        r"cannot pull the image 127\.0\.0\.1:1/none:1",
        "127.0.0.1:1/none:1",
        namespace=namespace,
    )


async def test_claim_that_stays_pending_is_the_reason(namespace: str) -> None:
    words = "did not start within 5 s: .*unbound"
    await refused(SandboxStartFailed, words, namespace=namespace, storage_class="none", start_seconds=5)


async def test_pod_that_no_node_takes_tells_why(namespace: str) -> None:
    words = "did not start within 5 s: no node takes it .*node selector|affinity"
    selector = {"kubernetes.io/hostname": "elsewhere"}
    await refused(SandboxStartFailed, words, namespace=namespace, node_selector=selector, start_seconds=5)


async def test_quota_is_said(namespace: str) -> None:
    admin = Cluster(KubernetesSettings(namespace=namespace))
    quota = {"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}
    await admin.ask("POST", "resourcequotas", body=quota)
    await admin.aclose()
    await refused(LimitReached, "quota is reached: .*exceeded quota: none", namespace=namespace)


async def test_open_network_is_refused(namespace: str) -> None:
    """The test cluster accepts network policies and enforces none."""
    words = r"does not enforce network policies: a sandbox reached .*:10250"
    await refused(IsolationUnavailable, words, namespace=namespace, accept_open_network=False)


async def test_missing_namespace_is_named() -> None:
    await refused(ConfigurationError, "no namespace nowhere", namespace="nowhere")


def limited(folder: Path) -> str:
    """Return the kubeconfig of the account that has no rights but those that a test gives it."""
    config = json.loads(Path(os.environ["KUBECONFIG"]).read_text())
    config["users"][0]["user"]["token"] = "test-limited"
    path = folder / "limited.json"
    path.write_text(json.dumps(config))
    return str(path)


def documented() -> dict[str, Any]:
    """Return the Role that the documentation names."""
    (role,) = re.findall(r"```yaml\n(.*?kind: Role\n.*?)```", DOCS.read_text(), re.DOTALL)
    found: dict[str, Any] = yaml.safe_load(role)
    return found


class Grants:
    """The rights of the limited account in a namespace."""

    def __init__(self, namespace: str, rules: list[dict[str, Any]]) -> None:
        self._namespace = namespace
        self._role: Any = {**documented(), "rules": rules}

    async def __aenter__(self) -> Grants:
        from kubernetes.aio import client

        self._admin = Cluster(KubernetesSettings())
        await self._admin.connect()
        self._rbac = client.RbacAuthorizationV1Api(self._admin._api)
        await self._rbac.create_namespaced_role(self._namespace, self._role)
        binding: Any = {
            "metadata": {"name": "limited"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "agent-kernel"},
            "subjects": [{"kind": "User", "name": "limited", "apiGroup": "rbac.authorization.k8s.io"}],
        }
        await self._rbac.create_namespaced_role_binding(self._namespace, binding)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._admin.aclose()

    async def add(self, rule: dict[str, Any]) -> None:
        self._role["rules"].append(rule)
        await self._rbac.replace_namespaced_role("agent-kernel", self._namespace, self._role)


async def use_all(backend: KubernetesBackend) -> None:
    """Use all that the backend does with a cluster."""
    volume = new_id()
    ref = await backend.create(SandboxSpec(new_id(), volume=volume))
    assert ref.id in [each.id for each in await backend.list()]
    await (await backend.stream(ref)).aclose()
    await backend.delete(ref)
    assert volume in [each.name for each in await backend.volumes()]
    await backend.remove_volume(volume)


@pytest.fixture
async def limited_backend(namespace: str, tmp_path: Path) -> AsyncIterator[KubernetesBackend]:
    settings = KubernetesSettings(namespace=namespace, accept_open_network=True, kubeconfig=limited(tmp_path))
    backend = KubernetesBackend(IMAGE, None, settings)
    yield backend
    await backend.aclose()


async def test_missing_right_names_the_verb_and_the_rule(namespace: str, tmp_path: Path) -> None:
    words = f"may not create networkpolicies in the namespace {namespace}"
    await refused(EngineUnavailable, words, namespace=namespace, kubeconfig=limited(tmp_path))


@pytest.mark.timeout(300)
async def test_rules_that_errors_name_lead_to_a_sandbox(
    namespace: str, limited_backend: KubernetesBackend
) -> None:
    """An account without rights gets no others than those of the documentation, one error after the other."""
    wanted = rights(documented()["rules"])
    granted: set[tuple[str, str, str]] = set()
    async with Grants(namespace, []) as grants:
        while not wanted <= granted:
            error = await refusal(limited_backend)
            if error is None:
                break
            rule = yaml.safe_load((error.hint or "").partition("Role there: ")[2])
            assert rule, f"{error.message} {error.hint}"
            new = rights([rule])
            verbs = " and ".join(rule["verbs"])
            assert f"may not {verbs} {rule['resources'][0]} in the namespace {namespace}" in error.message
            if not new <= granted:  # else it needs a moment more
                granted |= new
                await grants.add(rule)
    assert await refusal(limited_backend) is None
    assert granted <= wanted


async def refusal(backend: KubernetesBackend) -> EngineUnavailable | None:
    """Use all that there is, and return what was refused."""
    try:
        await use_all(backend)
    except EngineUnavailable as error:
        return error
    return None


def rights(rules: list[dict[str, Any]]) -> set[tuple[str, str, str]]:
    """Return the single rights of rules: group, kind, verb."""
    return {
        (group, kind, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for kind in rule["resources"]
        for verb in rule["verbs"]
    }


async def test_rights_of_the_documentation_are_enough(
    namespace: str, limited_backend: KubernetesBackend
) -> None:
    async with Grants(namespace, documented()["rules"]):
        await use_all(limited_backend)
        await limited_backend.delete(await limited_backend.create(SandboxSpec(new_id())))
