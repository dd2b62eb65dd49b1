"""Named volumes: workspaces that outlive their sandboxes (blocking calls)."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from agent_kernel.errors import SandboxError
from agent_kernel.sandboxes.base import MANAGED_LABEL
from agent_kernel.sandboxes.docker.container import volume_name
from agent_kernel.sandboxes.docker.engine import reason
from agent_kernel.sandboxes.optional import Volume

if TYPE_CHECKING:
    from docker import APIClient

_NOT_FOUND, _IN_USE = 404, 409


def volumes(api: APIClient) -> list[Volume]:
    """Return all named volumes of ours, oldest first."""
    listing: dict[str, Any] = api.volumes(filters={"label": [f"{MANAGED_LABEL}=1"]})
    prefix = volume_name("")
    found = [
        Volume(entry["Name"].removeprefix(prefix), "docker", _seconds(entry.get("CreatedAt", "")))
        for entry in listing.get("Volumes") or []
        if entry["Name"].startswith(prefix)
    ]
    return sorted(found, key=lambda volume: volume.created_at)


def remove(api: APIClient, name: str) -> None:
    """Remove a volume of ours. A missing one is no error. Raises `SandboxError` while it is in use."""
    from docker.errors import APIError

    if name not in [volume.name for volume in volumes(api)]:
        return
    try:
        api.remove_volume(volume_name(name))
    except APIError as error:
        if error.status_code == _NOT_FOUND:
            return
        if error.status_code == _IN_USE:
            raise SandboxError(f"The volume {name} is in use.", hint="End its sandbox first.") from error
        raise SandboxError(f"The engine did not remove the volume {name}: {reason(error)}.") from error


def _seconds(created_at: str) -> float:
    try:
        return datetime.fromisoformat(created_at).timestamp()
    except ValueError:
        return 0.0
