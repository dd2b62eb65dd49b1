"""A cluster that refuses: what is wrong is said, and nothing is left behind."""

from __future__ import annotations

import json
import os
import re
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


async def test_missing_right_names_the_rule(namespace: str, tmp_path: Path) -> None:
    words = f"may not create networkpolicies in the namespace {namespace}"
    await refused(EngineUnavailable, words, namespace=namespace, kubeconfig=limited(tmp_path))


async def test_rights_of_the_documentation_are_enough(namespace: str, tmp_path: Path) -> None:
    from kubernetes.aio import client

    (role,) = re.findall(r"```yaml\n(.*?kind: Role\n.*?)```", DOCS.read_text(), re.DOTALL)
    admin = Cluster(KubernetesSettings())
    await admin.connect()
    rbac = client.RbacAuthorizationV1Api(admin._api)
    await rbac.create_namespaced_role(namespace, yaml.safe_load(role))
    binding: Any = {
        "metadata": {"name": "limited"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "agent-kernel"},
        "subjects": [{"kind": "User", "name": "limited", "apiGroup": "rbac.authorization.k8s.io"}],
    }
    await rbac.create_namespaced_role_binding(namespace, binding)
    await admin.aclose()
    settings = KubernetesSettings(namespace=namespace, accept_open_network=True, kubeconfig=limited(tmp_path))
    backend = KubernetesBackend(IMAGE, None, settings)
    try:
        ref = await backend.create(SandboxSpec(new_id(), volume="data"))
        assert [each.id for each in await backend.list()] == [ref.id]
        await backend.delete(ref)
        assert [each.name for each in await backend.volumes()] == ["data"]
        await backend.remove_volume("data")
    finally:
        await backend.aclose()
