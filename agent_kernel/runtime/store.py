"""What outlives the process: responses, and what is known of containers. The body is in `sqlite`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

Json = Mapping[str, Any]


@dataclass(frozen=True)
class ResponseRow:
    """One turn: what came in, what went out, and the turn it continues."""

    id: str
    created_at: float
    status: str
    model: str
    previous_id: str | None
    container_id: str | None
    request: Json
    input: Sequence[Json]
    response: Json
    """The `Response` as JSON; its `output` is the turn's output items."""


@dataclass(frozen=True)
class ContainerRow:
    """One container. Times are Unix seconds; `expires_after` is in minutes after `last_active_at`.

    `status` is `creating`, `running`, `expired` (we ended it, its time was over), `restoring` (it is being
    brought back from a checkpoint) or `dead` (it ended without us).
    """

    id: str
    name: str
    backend: str
    created_at: float
    last_active_at: float
    expires_after: int
    status: str
    memory_limit: str | None

    @property
    def expires_at(self) -> float:
        """Unix seconds."""
        return self.last_active_at + self.expires_after * 60


class Store(Protocol):
    """Where turns and containers are written down. Methods may be called concurrently, and each is atomic."""

    async def identity(self) -> str:
        """An id of this store, the same for ever: labels the sandboxes that belong to it."""
        ...

    async def put_response(self, row: ResponseRow) -> None:
        """Insert, or replace the one with this id."""
        ...

    async def response(self, id: str) -> ResponseRow | None:  # noqa: A002
        """One turn, or None."""
        ...

    async def chain(self, id: str) -> list[ResponseRow]:  # noqa: A002
        """The turns that lead to this one, oldest first, itself last; it starts late if one was deleted."""
        ...

    async def delete_response(self, id: str) -> bool:  # noqa: A002
        """True if there was one."""
        ...

    async def put_container(self, row: ContainerRow) -> None:
        """Insert, or replace the one with this id (its uploads are kept)."""
        ...

    async def container(self, id: str) -> ContainerRow | None:  # noqa: A002
        """One container, or None."""
        ...

    async def containers(self) -> list[ContainerRow]:
        """All of them, oldest first."""
        ...

    async def touch_container(self, id: str, when: float) -> None:  # noqa: A002
        """It was active at `when`."""
        ...

    async def end_container(self, id: str, status: str, *, if_idle_at: float | None = None) -> bool:  # noqa: A002
        """Set the status of a live one and return whether it was live.

        With `if_idle_at` (Unix seconds), only if it has expired by then.
        """
        ...

    async def change_container(self, id: str, was: str, status: str, when: float) -> bool:  # noqa: A002
        """Set the status and the last activity (Unix seconds) of one whose status `was` this; whether it was.

        Of several who try at once, one succeeds.
        """
        ...

    async def delete_container(self, id: str) -> bool:  # noqa: A002
        """True if there was one."""
        ...

    async def add_upload(self, container_id: str, path: str) -> None:
        """The file at `path` came from the user."""
        ...

    async def remove_upload(self, container_id: str, path: str) -> None:
        """Forget that."""
        ...

    async def uploads(self, container_id: str) -> set[str]:
        """Paths that came from the user."""
        ...

    async def aclose(self) -> None:
        """Finish what is queued and close the file. Idempotent."""
        ...
