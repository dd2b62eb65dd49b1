"""The contract for the skills that users keep: part of `Rows`."""

from __future__ import annotations

from typing import Protocol

from agent_kernel.store.records import KeptSkillRow


class KeptSkillRows(Protocol):
    """The skills that users keep, apart from those in containers. `Blobs` keeps their archives."""

    async def put_kept_skill(self, row: KeptSkillRow, was: int | None = None) -> bool:
        """Insert a skill, or with `was` replace the one with this revision. Return whether it did.

        Of several processes that replace one at once, one succeeds.
        """
        ...

    async def kept_skill(self, id: str) -> KeptSkillRow | None:  # noqa: A002
        """Return one skill, or None."""
        ...

    async def kept_skills(self) -> list[KeptSkillRow]:
        """Return all skills, oldest first."""
        ...

    async def delete_kept_skill(self, id: str, was: int) -> bool:  # noqa: A002
        """Delete a skill if it has the revision `was`. Return whether it did."""
        ...
