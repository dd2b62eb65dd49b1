"""The objects of a sandbox: fields that the API has, and the level `restricted` of Pod Security."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from agent_kernel.sandboxes import launch
from agent_kernel.sandboxes.base import SandboxSpec
from agent_kernel.sandboxes.kubernetes import manifests
from agent_kernel.sandboxes.kubernetes.settings import KubernetesSettings
from agent_kernel.sandboxes.network import Network
from tests.sandboxes.kubernetes.types import unknown_fields

SPEC = SandboxSpec("cntr_0a", {"store": "Ünïcode / and spaces"}, memory=1 << 28, cpus=0.5, open_files=77)
FULL = KubernetesSettings(
    pull_secrets=["registry"],
    node_selector={"disk": "ssd"},
    tolerations=[{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}],
    gpus=1,
)


def pod(spec: SandboxSpec = SPEC, settings: KubernetesSettings = FULL, **more: str) -> dict[str, Any]:
    words = {"image": "tools:1", "runtime_class": "gvisor", "program": "map", "claim": "claim", **more}
    return manifests.pod(spec, settings, **words)


@pytest.mark.parametrize(
    ("kind", "manifest"),
    [
        ("V1Pod", pod()),
        ("V1Pod", pod(settings=KubernetesSettings(), claim="", runtime_class="")),
        ("V1PersistentVolumeClaim", manifests.claim("c", KubernetesSettings(storage_class="fast"), {})),
        ("V1NetworkPolicy", manifests.network_policy()),
        ("V1ConfigMap", manifests.program_map("map", "YQ==")),
    ],
)
def test_api_knows_every_field(kind: str, manifest: dict[str, Any]) -> None:
    assert unknown_fields(manifest, kind) == []


def test_unknown_fields_are_found() -> None:
    wrong = pod()
    wrong["spec"]["containers"][0]["securityContext"]["runAsRoot"] = True
    assert unknown_fields(wrong, "V1Pod") == [".spec.containers[0].securityContext.runAsRoot"]


def test_pod_meets_the_level_restricted() -> None:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted"""
    spec = pod()["spec"]
    allowed = {"configMap", "emptyDir", "persistentVolumeClaim", "name"}
    assert all(set(volume) <= allowed for volume in spec["volumes"])
    assert not {"hostNetwork", "hostPID", "hostIPC", "hostAliases"} & set(spec)
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (container,) = spec["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "privileged": False,
        "capabilities": {"drop": ["ALL"]},
    }


def test_pod_has_no_account_and_no_services() -> None:
    spec = pod()["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    assert spec["restartPolicy"] == "Never"


def test_policy_selects_every_pod_and_allows_nothing() -> None:
    policy = manifests.network_policy()["spec"]
    assert policy["podSelector"]["matchLabels"].items() <= pod()["metadata"]["labels"].items()
    assert policy == {"podSelector": policy["podSelector"], "policyTypes": ["Ingress", "Egress"]}


def test_limits_and_placement_arrive() -> None:
    spec = pod()["spec"]
    assert spec["containers"][0]["resources"]["limits"] == {
        "memory": str(1 << 28),
        "cpu": "500m",
        "nvidia.com/gpu": "1",
    }
    assert "(77, 77)" in " ".join(spec["containers"][0]["command"])
    assert spec["runtimeClassName"] == "gvisor"
    assert spec["nodeSelector"] == {"disk": "ssd"}
    assert spec["tolerations"] == FULL.tolerations
    assert spec["imagePullSecrets"] == [{"name": "registry"}]


def test_labels_of_any_text_are_kept() -> None:
    notes = pod()["metadata"]["annotations"]
    assert json.loads(notes[manifests.LABELS_NOTE])["store"] == "Ünïcode / and spaces"
    assert notes[manifests.ID_NOTE] == "cntr_0a"


def test_names_are_valid_in_the_api() -> None:
    assert pod()["metadata"]["name"] == "agent-kernel-cntr-0a"
    assert manifests.claim_name("My_Data.v1") == "agent-kernel-volume-" + b"My_Data.v1".hex()


def test_network_offers_only_the_proxy() -> None:
    """An ordinary user cannot take the low ports that transparent connections need."""
    spec = SandboxSpec("a", network=Network(ports=(80, 443), variables=(("PIP_INDEX_URL", "x"),)))
    options = json.loads(pod(spec)["spec"]["containers"][0]["command"][-1])
    assert options["network"]["ports"] == []
    assert options["environment"]["PIP_INDEX_URL"] == "x"


def test_program_fits_into_a_config_map() -> None:
    """The API's limit is 1 MiB: https://kubernetes.io/docs/concepts/configuration/configmap/"""
    assert len(base64.b64encode(launch.program())) < 1 << 20
