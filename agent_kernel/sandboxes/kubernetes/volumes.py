"""Named volumes as claims that outlive their pods."""

from __future__ import annotations

from datetime import datetime

from agent_kernel.errors import SandboxError
from agent_kernel.sandboxes.kubernetes.cluster import ApiRefusal, Cluster
from agent_kernel.sandboxes.kubernetes.manifests import VOLUME_LABEL, claim, claim_name
from agent_kernel.sandboxes.kubernetes.pods import NAME
from agent_kernel.sandboxes.kubernetes.settings import KubernetesSettings
from agent_kernel.sandboxes.optional import Volume

_KIND = "persistentvolumeclaims"
_NAME_NOTE = "agent-kernel/volume-name"


class ClaimVolumes:
    """The named volumes in one namespace."""

    def __init__(self, cluster: Cluster, settings: KubernetesSettings) -> None:
        self._cluster = cluster
        self._settings = settings

    async def ensure(self, volume: str) -> str:
        """Make the claim of a volume unless it is there, and return its name. Raises `SandboxError`."""
        name = claim_name(volume)
        manifest = claim(name, self._settings, {VOLUME_LABEL: "1"})
        manifest["metadata"]["annotations"] = {_NAME_NOTE: volume}
        try:
            await self._cluster.ask("POST", _KIND, body=manifest)
        except ApiRefusal as error:
            if error.status != 409:
                raise SandboxError(
                    f"The cluster did not make the volume {volume}: {error.message}."
                ) from error
        return name

    async def list(self) -> list[Volume]:
        """Return all, oldest first. Raises `EngineUnavailable`."""
        found = await self._cluster.ask("GET", _KIND, labelSelector=f"{VOLUME_LABEL}=1")
        volumes = [
            Volume(
                each["metadata"]["annotations"][_NAME_NOTE],
                NAME,
                datetime.fromisoformat(each["metadata"]["creationTimestamp"]).timestamp(),
            )
            for each in found["items"]
        ]
        return sorted(volumes, key=lambda volume: volume.created_at)

    async def remove(self, volume: str) -> None:
        """Remove one with its files. A missing one is no error. Raises `SandboxError` while a pod uses it."""
        name = claim_name(volume)
        for pod in (await self._cluster.ask("GET", "pods"))["items"]:
            for each in pod["spec"].get("volumes") or ():
                if each.get("persistentVolumeClaim", {}).get("claimName") == name:
                    raise SandboxError(f"The volume {volume} is in use by {pod['metadata']['name']}.")
        try:
            await self._cluster.ask("DELETE", _KIND, name)
        except ApiRefusal as error:
            if error.status != 404:
                raise SandboxError(f"The volume {volume} was not removed: {error.message}.") from error
