"""The overlays of the server's manifests, merged with their base as kustomize merges them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from agent_kernel import config
from agent_kernel.sandboxes.kubernetes.settings import read_settings
from tests.sandboxes.kubernetes.types import unknown_fields

FOLDER = Path(__file__).parents[3] / "images" / "server" / "kubernetes"
OVERLAYS = sorted(path.name for path in (FOLDER / "overlays").iterdir())

Objects = dict[tuple[str, str], dict[str, Any]]


def documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text()))


def kustomization(folder: Path) -> dict[str, Any]:
    (found,) = documents(folder / "kustomization.yaml")
    return found


def merged(base: Any, patch: Any) -> Any:
    """Merge by the rules of a strategic merge patch that the overlays use; lists by the names of entries.

    https://github.com/kubernetes/community/blob/master/contributors/devel/sig-api-machinery/strategic-merge-patch.md
    """
    if isinstance(base, dict) and isinstance(patch, dict):
        both = {**base, **{key: merged(base.get(key), value) for key, value in patch.items()}}
        return {key: value for key, value in both.items() if value is not None}
    if isinstance(base, list) and isinstance(patch, list) and all("name" in each for each in [*base, *patch]):
        known = {each["name"]: each for each in base}
        known |= {each["name"]: merged(known.get(each["name"]), each) for each in patch}
        return list(known.values())
    return patch


def built(folder: Path) -> Objects:
    """Return the objects of a kustomization, by kind and name."""
    found: Objects = {}
    asked = kustomization(folder)
    for name in asked["resources"]:
        if (folder / name).is_dir():
            found |= built(folder / name)
        else:
            found |= {(each["kind"], each["metadata"]["name"]): each for each in documents(folder / name)}
    for entry in asked.get("patches", ()):
        for patch in documents(folder / entry["path"]):
            target = patch["kind"], patch["metadata"]["name"]
            assert target in found, f"{entry['path']} changes nothing"
            if patch.get("$patch") == "delete":
                del found[target]
            else:
                found[target] = merged(found[target], patch)
    return found


def server_of(objects: Objects) -> dict[str, Any]:
    pod: dict[str, Any] = objects["Deployment", "agent-kernel"]["spec"]["template"]
    return pod


@pytest.mark.parametrize("name", OVERLAYS)
def test_api_knows_every_field(name: str) -> None:
    for (kind, _), manifest in built(FOLDER / "overlays" / name).items():
        assert unknown_fields(manifest, f"V1{kind}") == []


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_file_is_used(name: str) -> None:
    folder = FOLDER / "overlays" / name
    asked = kustomization(folder)
    used = {*asked["resources"], *(each["path"] for each in asked.get("patches", ()))}
    used |= {file for each in asked.get("configMapGenerator", ()) for file in each["files"]}
    assert {path.name for path in folder.iterdir()} == used - {"../../base"} | {"kustomization.yaml"}


@pytest.mark.parametrize("name", OVERLAYS)
def test_what_the_server_is_given_exists(name: str) -> None:
    pod = server_of(built(FOLDER / "overlays" / name))["spec"]
    (server,) = pod["containers"]
    known = {setting.variable for setting in config.catalogue()}
    assert {each["name"] for each in server["env"]} <= known
    assert {each["name"] for each in server["volumeMounts"]} <= {each["name"] for each in pod["volumes"]}


@pytest.mark.parametrize("name", OVERLAYS)
def test_no_overlay_gives_rights(name: str) -> None:
    base, there = built(FOLDER / "base"), built(FOLDER / "overlays" / name)
    account = [kind for kind in there if "Role" in kind[0] or kind[0] == "ServiceAccount"]
    assert all(there[each] == base[each] for each in account)
    confined = ("securityContext", "serviceAccountName")
    assert all(server_of(there)["spec"][each] == server_of(base)["spec"][each] for each in confined)


def test_replicas_need_no_claim_and_survive_a_drain() -> None:
    objects = built(FOLDER / "overlays" / "replicas")
    assert not any(kind == "PersistentVolumeClaim" for kind, _ in objects)
    assert "persistentVolumeClaim" not in str(server_of(objects))
    deployment = objects["Deployment", "agent-kernel"]["spec"]
    assert deployment["replicas"] > 1
    assert deployment["strategy"]["type"] == "RollingUpdate"
    budget = objects["PodDisruptionBudget", "agent-kernel"]["spec"]
    assert budget["selector"]["matchLabels"].items() <= server_of(objects)["metadata"]["labels"].items()
    notes = server_of(objects)["metadata"]["annotations"]
    assert notes["prometheus.io/path"] == "/metrics"


def test_sandboxes_of_the_gpu_overlay_are_settings_that_exist() -> None:
    settings = read_settings(FOLDER / "overlays" / "gpu" / "sandboxes.yaml")
    assert settings.gpus == 1
    mounted = server_of(built(FOLDER / "overlays" / "gpu"))["spec"]["containers"][0]
    (path,) = (each["value"] for each in mounted["env"] if each["name"] == "AGENT_KERNEL_BACKEND_SETTINGS")
    assert path == f"{mounted['volumeMounts'][-1]['mountPath']}/sandboxes.yaml"
