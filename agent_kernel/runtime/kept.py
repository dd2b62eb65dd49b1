"""Sessions that outlive their kernel: part of the contract of a runtime.

A front end keeps in one what it must know to go on later, in another process or on another machine. The
protocol is optional: a server of the API without our extensions does not offer it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol, runtime_checkable

LARGEST_STATE = 1 << 20
"""Bytes of a session's `state` as JSON."""

MOST_RESPONSES = 200
"""Responses in `responses`."""

LONGEST_NAME = 256
"""Characters of `name`, and of `id`."""

CHANGED = "session_changed"
"""The `code` of the `InvalidRequest` for a session that another front end has kept meanwhile."""


@dataclass(frozen=True)
class KeptSession:
    """A conversation and its container, as a front end left them. Times are in seconds since 1970.

    While it is kept, no retention, expiry or pruning removes the chain of `response_id` and of `responses`;
    the checkpoints and snapshots of its container have limits of their own, which docs/api.md describes.
    """

    id: str = ""
    """`sess_...`; empty before it is kept for the first time."""
    name: str = ""
    created_at: int = 0
    updated_at: int = 0
    response_id: str | None = None
    """The response that the next turn continues."""
    container_id: str | None = None
    state: Mapping[str, Any] = field(default_factory=dict)
    """What the front end wants back: JSON, `LARGEST_STATE` bytes at most. Lists of sessions leave it out."""
    notebook: str = ""
    """The notebook that it belongs to, by which a front end finds it again: a path, for instance."""
    responses: Sequence[str] = ()
    """Other responses that the front end can go back to, such as the ends of branches."""
    revision: int = 0
    """The number of times that it was kept. Only who has the last one can keep it again."""
    interrupted: str | None = None
    """The newest response that continues `response_id` in the container, made since the session was kept.

    There is one if a front end ended during a turn. Only `kept_session` fills it in.
    """

    def to_json(self) -> dict[str, Any]:
        """Return it as the API shows it."""
        return {"object": "agent_kernel.kept_session", **asdict(self), "responses": [*self.responses]}


@runtime_checkable
class KeepsSessions(Protocol):
    """Optional for a `Runtime`."""

    async def keep_session(self, session: KeptSession) -> KeptSession:
        """Keep a new session, or replace the one with this id, and return it as it is kept.

        Times and `interrupted` of `session` are ignored. Raises `InvalidRequest`, with the code `CHANGED` if
        the one that is kept has another `revision`; `NotFound` for an unknown session, response or container;
        `LimitReached` if there are too many. After an error all is as before; a cancellation may come too
        late.
        """
        ...

    async def kept_sessions(self) -> Sequence[KeptSession]:
        """Return all sessions, the last kept first, without their `state`."""
        ...

    async def kept_session(self, session_id: str, *, state: bool = True) -> KeptSession:
        """Return one session. Raises `NotFound`. Without `state`, that and `interrupted` are left out."""
        ...

    async def forget_session(self, session_id: str) -> None:
        """Forget a session; its responses and its container stay. Raises `NotFound`."""
        ...
