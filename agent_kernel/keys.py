"""API keys as the rest of the product sees them: a name and its limits, never the secret."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class KeyLimits:
    """What the holder of a key may use. None: as much as there is."""

    turns: int | None = None
    """Turns at the same time."""
    containers: int | None = None
    """Containers that are alive at the same time."""
    stored_bytes: int | None = None
    """Bytes of all uploaded files; as many again of what is kept of expired containers."""
    requests_per_minute: int | None = None

    def over(self, others: KeyLimits) -> KeyLimits:
        """These, and where there is none that of `others`."""
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
    """Who asks, never the secret itself. The name is "" for whoever has no key of a name."""

    name: str = ""
    limits: KeyLimits = KeyLimits()
