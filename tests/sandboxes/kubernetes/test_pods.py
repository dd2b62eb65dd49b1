"""What the API says about a pod, in words."""

from __future__ import annotations

from typing import Any

import pytest

from agent_kernel.errors import ImageMissing, SandboxStartFailed
from agent_kernel.sandboxes.kubernetes import pods


def pod(**status: Any) -> dict[str, Any]:
    return {"metadata": {"name": "agent-kernel-a", "annotations": {"agent-kernel/id": "a"}}, "status": status}


def container(**state: Any) -> dict[str, Any]:
    return {"containerStatuses": [{"state": state}]}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"phase": "Running"}, "running"),
        ({"phase": "Pending"}, "running"),
        ({"phase": "Failed", "reason": "Evicted"}, "dead"),
        ({"phase": "Succeeded"}, "dead"),
        ({"phase": "Running", "conditions": [{"type": "Ready", "status": "Unknown"}]}, "unreachable"),
    ],
)
def test_status_follows_the_phase(status: dict[str, Any], expected: str) -> None:
    assert pods.status(pod(**status)) == expected


def test_pod_under_deletion_is_dead() -> None:
    ending = pod(phase="Running")
    ending["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert pods.reference(ending).status == "dead"


def test_missing_image_is_said() -> None:
    waiting = {"reason": "ImagePullBackOff", "message": "no such host"}
    with pytest.raises(ImageMissing, match="cannot pull the image tools:1: no such host"):
        pods.check_start(pod(phase="Pending", **container(waiting=waiting)), "tools:1")


def test_failed_start_tells_the_last_words() -> None:
    ended = {"exitCode": 1, "reason": "Error", "message": "it has no bash\n"}
    with pytest.raises(SandboxStartFailed, match="exit status 1, it has no bash"):
        pods.check_start(pod(phase="Failed", **container(terminated=ended)), "tools:1")


def test_unscheduled_pod_tells_why() -> None:
    condition = {"type": "PodScheduled", "status": "False", "message": "0/2 nodes: Insufficient cpu"}
    assert "Insufficient cpu" in pods.why_pending(pod(phase="Pending", conditions=[condition]))


def test_memory_limit_is_the_reason_of_an_end() -> None:
    error = pods.gone(
        "a", pod(phase="Failed", **container(terminated={"reason": "OOMKilled", "exitCode": 137}))
    )
    assert "ran out of memory" in error.message
    assert error.hint == "Ask for a larger memory_limit."


def test_eviction_is_told_as_it_was() -> None:
    evicted = pod(phase="Failed", reason="Evicted", message="The node was low on resource: memory.")
    assert "Evicted: The node was low on resource: memory" in pods.gone("a", evicted).message
