"""What the test cluster cannot show: the documentation says so, and the API has the fields that ask for it.

The tests of the types are those of `test_manifests.py` and `test_deployment.py`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from agent_kernel.sandboxes.kubernetes import manifests
from tests.sandboxes.kubernetes.test_manifests import pod
from tests.sandboxes.kubernetes.types import unknown_fields

CHECKOUT = Path(__file__).parents[3]
MARK = "*Untested on a cluster*"

UNTESTED: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    "enforcement of network policies": (
        "V1NetworkPolicy",
        manifests.network_policy(),
        ["spec", "policyTypes"],
    ),
    "Pod Security admission": ("V1Pod", pod(), ["spec", "securityContext", "seccompProfile", "type"]),
    "RuntimeClass with gVisor": ("V1Pod", pod(), ["spec", "runtimeClassName"]),
    "GPUs": ("V1Pod", pod(), ["spec", "containers", "0", "resources", "limits", "nvidia.com/gpu"]),
    "pull secrets": ("V1Pod", pod(), ["spec", "imagePullSecrets", "0", "name"]),
}
ELSEWHERE = "the server's manifests in `images/server/kubernetes`"
"""Checked in `test_deployment.py`."""


def paragraph() -> str:
    """Return the paragraph of the documentation, as one line."""
    text = (CHECKOUT / "docs" / "kubernetes.md").read_text()
    (found,) = (each for each in text.split("\n\n") if each.startswith(MARK))
    return " ".join(found.split())


def test_documentation_lists_all_that_is_untested() -> None:
    listed = re.match(r".*cannot show them: (.*?)\. The fields are checked", paragraph())
    assert listed is not None
    assert re.split(r", and |, ", listed[1]) == [*UNTESTED, ELSEWHERE]


@pytest.mark.parametrize("what", UNTESTED)
def test_api_knows_the_fields_that_ask_for_it(what: str) -> None:
    kind, manifest, path = UNTESTED[what]
    assert unknown_fields(manifest, kind) == []
    value: Any = manifest
    for name in path:
        value = value[int(name)] if isinstance(value, list) else value[name]
    assert value


@pytest.mark.parametrize("resource", ["VolumeSnapshot", "SandboxClaim"])
def test_what_is_not_used_is_said(resource: str) -> None:
    """They would need a cluster that has them."""
    words = re.sub(r"[^a-z]", "", paragraph().partition("own client.")[2].lower())
    assert resource.lower() in words
    assert words.endswith("arenotused")
    sources = (CHECKOUT / "agent_kernel" / "sandboxes" / "kubernetes").glob("*.py")
    assert [path.name for path in sources if resource in path.read_text()] == []
