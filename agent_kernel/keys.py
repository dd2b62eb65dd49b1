"""API keys as the rest of the package sees them: a name and limits, never the secret."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class KeyLimits:
    """The limits of a key. None: unlimited."""

    turns: int | None = None
    """Turns that may run at the same time."""
    containers: int | None = None
    """Containers that may be alive at the same time."""
    stored_bytes: int | None = None
    """Bytes of all uploaded files, and the same again for checkpoints of expired containers."""
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
    """The key that a request was made with, without its secret. The name is "" for the unnamed key."""

    name: str = ""
    limits: KeyLimits = KeyLimits()
