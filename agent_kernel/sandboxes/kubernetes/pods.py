"""What the API says about a pod, in words: whether it runs, why it does not start, why it has ended."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from agent_kernel.errors import ImageMissing, SandboxGone, SandboxStartFailed
from agent_kernel.sandboxes.base import SandboxRef, Status
from agent_kernel.sandboxes.kubernetes.manifests import ID_NOTE, LABELS_NOTE

NAME = "kubernetes"

Json = Mapping[str, Any]

_IMAGE_REASONS = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull")
_CONTAINER_REASONS = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")


def reference(pod: Json) -> SandboxRef:
    """Return the sandbox that a pod is."""
    notes = pod["metadata"].get("annotations") or {}
    return SandboxRef(str(notes.get(ID_NOTE)), NAME, status(pod), json.loads(notes.get(LABELS_NOTE, "{}")))


def status(pod: Json) -> Status:
    """Return the state of a sandbox. One that is being deleted counts as dead."""
    if pod["metadata"].get("deletionTimestamp") or phase(pod) in ("Succeeded", "Failed"):
        return "dead"
    reason = pod["status"].get("reason")
    ready = {each["type"]: each["status"] for each in pod["status"].get("conditions") or ()}
    lost = reason == "NodeLost" or ready.get("Ready") == "Unknown"
    return "unreachable" if lost else "running"


def phase(pod: Json) -> str:
    """Return the pod's phase."""
    return str(pod["status"].get("phase"))


def is_up(pod: Json) -> bool:
    """Return whether the container runs."""
    return any("running" in each.get("state", {}) for each in pod["status"].get("containerStatuses") or ())


def check_start(pod: Json, image: str) -> None:
    """Raise the reason if the pod cannot start: `ImageMissing`, `SandboxStartFailed`."""
    for each in pod["status"].get("containerStatuses") or ():
        waiting = each.get("state", {}).get("waiting") or {}
        reason, message = waiting.get("reason"), str(waiting.get("message") or "").strip()
        if reason in _IMAGE_REASONS:
            raise ImageMissing(
                f"The cluster cannot pull the image {image}: {message or reason}.",
                hint="Push it to a registry that the nodes reach. If it is private, name its Secret in "
                "pull_secrets.",
            )
        if reason in _CONTAINER_REASONS:
            raise SandboxStartFailed(f"The container of {image} does not start: {message or reason}.")
    if phase(pod) in ("Succeeded", "Failed"):
        raise SandboxStartFailed(f"The sandbox ended while it started: {ended(pod)}.")


def why_pending(pod: Json) -> str:
    """Return why a pod has not started so far, as a clause."""
    for each in pod["status"].get("conditions") or ():
        if each["type"] == "PodScheduled" and each["status"] == "False":
            return f"no node takes it ({each.get('message', each.get('reason'))})"
    for each in pod["status"].get("containerStatuses") or ():
        waiting = each.get("state", {}).get("waiting") or {}
        if waiting:
            return str(waiting.get("message") or waiting.get("reason"))
    return "the cluster gives no reason"


def ended(pod: Json) -> str:
    """Return why a pod has ended, as a clause."""
    if pod["status"].get("reason"):
        return f"{pod['status']['reason']}: {pod['status'].get('message', 'no message')}".rstrip(".")
    for each in pod["status"].get("containerStatuses") or ():
        state = each.get("state", {}).get("terminated") or {}
        if state.get("reason") == "OOMKilled":
            return "it ran out of memory"
        if state:
            said = str(state.get("message") or "").strip()
            return f"exit status {state.get('exitCode')}" + (f", {said}" if said else "")
    return "the cluster gives no reason"


def gone(id: str, pod: Json | None) -> SandboxGone:  # noqa: A002 (the field's own word)
    """Return the error for a sandbox whose pod has ended, or does not exist any more."""
    if pod is None or pod["metadata"].get("deletionTimestamp"):
        return SandboxGone(f"The sandbox {id} is gone: its pod was deleted or evicted.")
    reason = ended(pod)
    hint = "Ask for a larger memory_limit." if "memory" in reason else None
    return SandboxGone(f"The sandbox {id} has ended: {reason}.", hint=hint)
