"""The server's own manifests: fields that the API has, and the rights that the documentation names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent_kernel.server.routes import ENDPOINTS
from tests.sandboxes.kubernetes.types import unknown_fields

CHECKOUT = Path(__file__).parents[3]
BASE = CHECKOUT / "images" / "server" / "kubernetes" / "base"
FILES: list[str] = yaml.safe_load((BASE / "kustomization.yaml").read_text())["resources"]


def objects() -> list[dict[str, Any]]:
    return [found for name in FILES for found in yaml.safe_load_all((BASE / name).read_text())]


def one(kind: str) -> dict[str, Any]:
    (found,) = (each for each in objects() if each["kind"] == kind)
    return found


@pytest.mark.parametrize("manifest", objects(), ids=lambda each: each["kind"])
def test_api_knows_every_field(manifest: dict[str, Any]) -> None:
    assert unknown_fields(manifest, f"V1{manifest['kind']}") == []


def test_every_file_is_a_resource() -> None:
    assert {path.name for path in BASE.iterdir()} == {*FILES, "kustomization.yaml"}


def test_documentation_names_the_rights() -> None:
    text = (CHECKOUT / "docs" / "kubernetes.md").read_text()
    (role,) = re.findall(r"```yaml\n(.*?kind: Role\n.*?)```", text, re.DOTALL)
    assert yaml.safe_load(role) == one("Role")


def test_probes_ask_an_endpoint_without_a_key() -> None:
    (server,) = one("Deployment")["spec"]["template"]["spec"]["containers"]
    paths = {
        server[probe]["httpGet"]["path"] for probe in ("startupProbe", "readinessProbe", "livenessProbe")
    }
    assert paths == {"/healthz"}
    assert "/healthz" in {endpoint.path for endpoint in ENDPOINTS}


def test_server_is_as_confined_as_a_sandbox() -> None:
    spec = one("Deployment")["spec"]["template"]["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["containers"][0]["securityContext"]["capabilities"] == {"drop": ["ALL"]}
