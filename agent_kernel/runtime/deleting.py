"""Complete deletion of kept sessions: part of the contract of a runtime.

The protocol is optional: a server of the API without our extensions does not offer it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable


@dataclass(frozen=True)
class DeletedSession:
    """What was removed with a session, in words. `shared` stays, because others use it too.

    `remains` could not be removed, or was found again afterwards; it is empty if the deletion is complete.
    """

    id: str
    removed: Sequence[str]
    shared: Sequence[str] = ()
    remains: Sequence[str] = ()

    def to_json(self) -> dict[str, Any]:
        """Return it as the API shows it."""
        return {
            "object": "agent_kernel.session.deleted",
            "id": self.id,
            "deleted": not self.remains,
            "removed": [*self.removed],
            "shared": [*self.shared],
            "remains": [*self.remains],
        }


@runtime_checkable
class DeletesSessions(Protocol):
    """Optional for a `Runtime`."""

    async def delete_session(self, session_id: str) -> DeletedSession:
        """Delete a session with everything that belongs to it, and search for what is left.

        That is its container with all checkpoints, its turns on all branches, and uploaded files that only
        they name. Raises `NotFound`, and `InvalidRequest` while a turn of it runs. It can be called again
        if something remains, and after an error or a cancellation.
        """
        ...
