"""Compare a container with what was requested: some engines ignore what they do not know, without an error.

Podman 4, for example, accepts any runtime and runs its default one (see `podman.py`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agent_kernel.errors import IsolationUnavailable, SandboxStartFailed
from agent_kernel.sandboxes.docker import engine
from agent_kernel.sandboxes.docker.podman import in_dockers_terms

if TYPE_CHECKING:
    from docker import APIClient

SAME = (
    "Runtime", "NetworkMode", "CgroupnsMode", "IpcMode", "PidMode", "UTSMode", "UsernsMode", "Privileged",
    "Memory", "MemorySwap", "NanoCpus", "PidsLimit", "StorageOpt",
)  # fmt: skip
"""Fields of HostConfig that must come back as they were sent; one that was not sent must be empty."""

_RANDOM = re.compile(r"[0-9a-f]{64}")  # the name that an engine gives a volume without a name

NOT_SENT = {"Runtime"}
"""Fields that the engine fills in itself if they are not sent."""


def verify(api: APIClient, name: str, asked: Mapping[str, Any]) -> Mapping[str, Any]:
    """Inspect a container that was made with the HostConfig `asked`, and return what the engine says of it.

    Blocks for one round trip. Raises `IsolationUnavailable` if it is weaker than what was requested, or
    otherwise different; the caller removes it.
    """
    found = engine.inspect(api, name)
    if found is None:
        raise SandboxStartFailed("The container ended while it started.")
    wrong = differences(asked, in_dockers_terms(api, found))
    if wrong:
        raise IsolationUnavailable(
            f"The engine made a container that differs from what was requested: {'; '.join(wrong)}.",
            hint="Use an engine that honours these options, such as Docker Engine, or set "
            "AGENT_KERNEL_SANDBOX=bubblewrap.",
        )
    return found


def differences(asked: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """Return what differs between the HostConfig that was sent and an inspected container."""
    made: Mapping[str, Any] = found["HostConfig"]
    wrong = [
        f"{name} is {made.get(name)!r}, not {asked.get(name)!r}"
        for name in SAME
        if (made.get(name) or None) != (asked.get(name) or None)
        and not (name in NOT_SENT and not asked.get(name))
    ]
    for name in ("CapAdd", "CapDrop", "SecurityOpt", "Devices"):
        if _words(made.get(name)) != _words(asked.get(name)):
            wrong.append(f"{name} is {made.get(name)!r}, not {asked.get(name)!r}")
    if _ulimits(made.get("Ulimits")) != _ulimits(asked.get("Ulimits")):
        wrong.append(f"Ulimits is {made.get('Ulimits')!r}, not {asked.get('Ulimits')!r}")
    if (log := (made.get("LogConfig") or {}).get("Type")) != asked["LogConfig"]["Type"]:
        wrong.append(f"LogConfig is {log!r}, not {asked['LogConfig']['Type']!r}")
    if (mounts := _mounts(found)) != (wanted := _asked_mounts(asked.get("Mounts"))):
        wrong.append(f"the mounts are {mounts}, not {wanted}")
    return wrong


def _words(values: Any) -> list[str]:
    """Return options in a form that does not depend on order or on the prefix of capabilities."""
    return sorted(str(value).upper().removeprefix("CAP_") for value in values or [])


def _ulimits(values: Any) -> list[tuple[str, int, int]]:
    return sorted((str(each["Name"]).lower(), each["Soft"], each["Hard"]) for each in values or [])


def _mounts(found: Mapping[str, Any]) -> list[tuple[str, bool, str]]:
    """Return where something is mounted, whether it can be written, and the host's folder if it is one.

    Mounts in memory are left out, and so are the volumes that the image declares: the engine makes them empty
    and removes them with the container.
    """
    declared = found.get("Config", {}).get("Volumes") or {}
    return sorted(
        (each["Destination"], bool(each["RW"]), each.get("Source", "") if each["Type"] == "bind" else "")
        for each in found.get("Mounts") or []
        if each["Type"] != "tmpfs" and not (each["Destination"] in declared and _is_anonymous(each))
    )


def _is_anonymous(mount: Mapping[str, Any]) -> bool:
    """Tell whether a mount is an unnamed volume, which belongs to this container alone."""
    name = str(mount.get("Name") or "")
    return mount["Type"] == "volume" and mount.get("Driver") == "local" and bool(_RANDOM.fullmatch(name))


def _asked_mounts(values: Any) -> list[tuple[str, bool, str]]:
    return sorted(
        (each["Target"], not each.get("ReadOnly"), each.get("Source", "") if each["Type"] == "bind" else "")
        for each in values or []
    )
