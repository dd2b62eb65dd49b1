"""API keys without their secrets: a name and limits."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Protocol


@dataclass(frozen=True)
class KeyLimits:
    """The limits of a key. None means unlimited."""

    turns: int | None = None
    """Turns that may run at the same time."""
    containers: int | None = None
    """Containers that may be alive at the same time."""
    stored_bytes: int | None = None
    """Bytes of all uploaded files; checkpoints of expired containers may use the same amount again."""
    requests_per_minute: int | None = None

    def over(self, others: KeyLimits) -> KeyLimits:
        """Return these limits, falling back to `others` where a limit is unset."""
        return KeyLimits(
            **{
                each.name: mine
                if (mine := getattr(self, each.name)) is not None
                else getattr(others, each.name)
                for each in fields(self)
            }
        )


@dataclass(frozen=True)
class Key:
    """The key of a request, without its secret. The name of the unnamed key is ""."""

    name: str = ""
    limits: KeyLimits = KeyLimits()


class Keys(Protocol):
    """The named keys of a server."""

    async def exist(self) -> bool:
        """Tell whether a key was ever created, even if it was revoked; then every request needs a key."""
        ...

    async def find(self, secret: str) -> Key | None:
        """Return the key with this secret, or None if it is unknown or was revoked."""
        ...
