"""Podman behind Docker's API: how it differs, and its inspections in Docker's terms.

Podman 4 ignores some fields of a create request without an error. What it makes is read from its native API,
so that it can be compared with what was requested.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agent_kernel.errors import IsolationUnavailable
from agent_kernel.sandboxes.base import MANAGED_LABEL
from agent_kernel.sandboxes.docker.container import volume_name

if TYPE_CHECKING:
    from docker import APIClient

_LESS = (
    "Podman cannot choose a runtime per container, does not report memory as the reason of an end, and shows "
    "the host's /etc/hosts in sandboxes unless its containers.conf has no_hosts = true."
)
_UNBOUNDED = (
    " With control groups of version 1, /sys/fs/cgroup in a sandbox can be filled up to the memory limit, "
    "which ends that sandbox."
)

_NATIVE = "v4.0.0/libpod"
_RUNTIME = "oci"  # what Podman's inspection says, whatever runs
_PROCESSES = 4096

_OWN = {"": "", "private": "", "shareable": ""}
"""Podman's words for a namespace that the container has for itself, for Docker's default.

Only the engine can let another container into a shareable one, and only if asked to.
"""


def is_podman(info: Mapping[str, Any]) -> bool:
    """Return whether the engine that says this about itself is Podman."""
    return "BuildahVersion" in info


def less(info: Mapping[str, Any]) -> str:
    """Return what this Podman does less well than Docker Engine. docs/isolation.md has the details."""
    return _LESS + (_UNBOUNDED if has_version_1(info) else "")


def has_version_1(info: Mapping[str, Any]) -> bool:
    """Return whether the engine's machine has control groups of version 1."""
    return str(info.get("CgroupVersion")) == "1"


def check_runtime(info: Mapping[str, Any], runtime: str | None) -> None:
    """Refuse a runtime that is not Podman's default, which it would run instead.

    Raises `IsolationUnavailable`.
    """
    default = info.get("DefaultRuntime", "?")
    if runtime is not None and runtime != default:
        raise IsolationUnavailable(
            f"Podman ignores the isolation runtime that a container asks for: it would run {default}, not "
            f"{runtime}.",
            hint=f'Set runtime = "{runtime}" under [engine] in its containers.conf, or use Docker Engine.',
        )


def limits(asked: list[Any]) -> list[Any]:
    """Return ulimits with one on processes: Podman's own default needs a capability that root may lack."""
    from docker.types import Ulimit

    if any(each["Name"] == "nproc" for each in asked):
        return asked
    return [*asked, Ulimit(name="nproc", soft=_PROCESSES, hard=_PROCESSES)]


def make_volume(api: APIClient, name: str) -> None:
    """Make a named volume if it does not exist: Podman ignores the labels of one that comes with a mount."""
    from docker.errors import NotFound

    try:
        api.inspect_volume(volume_name(name))
    except NotFound:
        api.create_volume(volume_name(name), labels={MANAGED_LABEL: "1"})


def in_dockers_terms(api: APIClient, found: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a container's inspection as Docker would give it. Docker's own is returned as it is.

    One difference is accepted: with control groups of version 1, Podman gives no cgroup namespace of its own.
    The container then sees the names of its control groups, but only its own groups, read-only.
    """
    made: Mapping[str, Any] = found["HostConfig"]
    if made.get("Runtime") != _RUNTIME:
        return found
    native = _native(api, found["Id"])
    host = {
        **made,
        "Runtime": native["OCIRuntime"],
        "PidMode": _OWN.get(made["PidMode"], made["PidMode"]),
        "UTSMode": _OWN.get(made["UTSMode"], made["UTSMode"]),
        "IpcMode": "private" if made["IpcMode"] in _OWN else made["IpcMode"],
        "CgroupnsMode": _group_namespace(api, native["HostConfig"].get("CgroupMode") or "private"),
        # The whole bounding set: more than requested is a difference, in whatever form it was requested.
        "CapAdd": native["BoundingCaps"],
        "CapDrop": ["ALL"],
        "Ulimits": [
            {**each, "Name": each["Name"].lower().removeprefix("rlimit_")} for each in made["Ulimits"] or []
        ],
    }
    return {**found, "HostConfig": host}


def _group_namespace(api: APIClient, mode: str) -> str:
    """Return the word for the cgroup namespace; the host's counts as private under version 1."""
    if mode == "host" and has_version_1(api.info()):
        return "private"
    return mode


def _native(api: APIClient, id: str) -> Mapping[str, Any]:  # noqa: A002 (the field's own word)
    """Inspect a container by Podman's native API. Raises docker-py's errors and those of `requests`."""
    answer = api.get(f"{api.base_url}/{_NATIVE}/containers/{id}/json", timeout=api.timeout)
    answer.raise_for_status()
    found: Mapping[str, Any] = answer.json()
    return found
