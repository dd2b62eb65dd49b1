"""Settings for containers: how they are made, when they expire, and which checkpoints stay."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from agent_kernel.egress.policy import NetworkPolicy
from agent_kernel.egress.presets.presets import Presets
from agent_kernel.runtime.containers.resources import Allowed
from agent_kernel.runtime.containers.skills.folders import SkillFolders
from agent_kernel.runtime.network.bound import NetworkBound
from agent_kernel.runtime.network.egress import NetworkOptions


@dataclass(frozen=True)
class CheckpointPolicy:
    """The checkpoints of expired containers and the automatic ones to keep; the explicit ones all stay."""

    keep_expired: bool = True
    """Take a checkpoint when a container expires. Its next use restores it under the same id."""
    total_size: int = 10 << 30
    """Bytes of all these together. Above this the oldest is removed first, automatic ones before others."""
    max_age: float = 7 * 86400.0
    """Seconds after which one of these is removed."""
    kept_size: int = 20 << 30
    """As `total_size`, for those of containers that belong to kept sessions. They do not count there."""
    kept_age: float = 90 * 86400.0
    """As `max_age`, for those."""

    def kept(self) -> CheckpointPolicy:
        """Return the policy for the containers of kept sessions."""
        return replace(self, total_size=self.kept_size, max_age=self.kept_age)


@dataclass(frozen=True)
class ContainerOptions:
    """Settings for new containers and their expiry."""

    expires_after: int = 20
    """Minutes without any operation until a container expires, if the request sets none."""
    pause_after: float = 60.0
    """Seconds without any operation until a container is paused. Its next use wakes it. 0: never."""
    lease: float = 60.0
    """Seconds that a sandbox outlives this process, if the process was killed."""
    memory_limit: str = "1g"
    """The memory limit, as the API writes it, if the request sets none."""
    upload_limit: int = 512 << 20
    """Bytes of one uploaded file."""
    warm: int = 0
    """Containers of the default kind that are kept ready before they are asked for."""
    allowed: Allowed = field(default_factory=Allowed)
    """Limits, volumes and mounts: the defaults, and the most that requests may ask for."""
    network: NetworkPolicy = field(default_factory=NetworkPolicy)
    """The most that a container's network policy may allow. Without rules no container has a network."""
    presets: Presets = field(default_factory=Presets)
    """The presets that network policies may name."""
    network_options: NetworkOptions = field(default_factory=NetworkOptions)
    """The limits of each container's connections."""
    checkpoints: CheckpointPolicy = field(default_factory=CheckpointPolicy)
    skills: SkillFolders = field(default_factory=SkillFolders)
    """Where the skills of containers lie."""

    def network_bound(self) -> NetworkBound:
        """Return the bound of network policies, for one process."""
        return NetworkBound(self.network, self.presets)
