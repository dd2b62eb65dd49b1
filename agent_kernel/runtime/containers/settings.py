"""How containers are made, for how long they stay, and what is kept of them."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class CheckpointPolicy:
    """What is kept of expired containers. Explicit checkpoints are kept until they are removed."""

    keep_expired: bool = True
    """Keep a checkpoint of a container that expires; its next use brings it back under its id."""
    total_size: int = 10 << 30
    """Bytes of all those together; over it the oldest goes first."""
    max_age: float = 7 * 86400.0
    """Seconds; an older one is removed."""


@dataclass(frozen=True)
class ContainerOptions:
    """How containers are made and for how long they stay."""

    expires_after: int = 20
    """Minutes without any operation, where the request sets none."""
    pause_after: float = 60.0
    """Seconds without any operation until nothing in a container runs; the next use wakes it. 0: never."""
    lease: float = 60.0
    """Seconds that a sandbox lives on when this process dies without a word."""
    pids: int = 512
    """Processes and threads at once in one container."""
    memory_limit: str = "1g"
    """Where the request sets none."""
    upload_limit: int = 512 << 20
    """Bytes of one uploaded file."""
    warm: int = 0
    """Containers of the default kind that are kept ready before they are asked for."""
    checkpoints: CheckpointPolicy = field(default_factory=CheckpointPolicy)
