"""What outlives the process: responses, and what is known of containers. The body is in `sqlite`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from agent_kernel.keys import KeyLimits

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
    owner: str | None = None
    """The process that runs the turn, while it runs (see `ownership`)."""
    conversation_id: str | None = None
    resumed: int = 0
    """How many times a new process has resumed the turn."""


@dataclass(frozen=True)
class Unfinished:
    """What recovery needs to know of a turn that has an owner, read without decoding its JSON columns."""

    id: str
    created_at: float
    model: str
    owner: str


JournalEntry = tuple[int, str]
"""An event's sequence number and its JSON."""


@dataclass(frozen=True)
class Finish:
    """All that is written when a turn ends, in one transaction.

    `events` are the last of the journal; without `keep_events` the journal is dropped, because the row now
    has everything. Without `keep_row` (`store: false`) only the conversation, if any, gets what was `said`.
    """

    row: ResponseRow
    events: Sequence[JournalEntry] = ()
    keep_events: bool = False
    keep_row: bool = True
    said: Sequence[Json] = ()
    """The turn's input and output items, for its conversation; each has an id."""


@dataclass(frozen=True)
class FileRow:
    """One file of `/v1/files`. Times are Unix seconds."""

    id: str
    created_at: float
    filename: str
    purpose: str
    bytes: int
    expires_at: float | None = None


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
    tenant: str = ""
    """Whose it is; see `Store.of`."""

    @property
    def expires_at(self) -> float:
        """Unix seconds."""
        return self.last_active_at + self.expires_after * 60


@dataclass(frozen=True)
class KeyRow:
    """One key. `id` is the part of it that is no secret, `hash` the SHA-256 of the whole, as hex digits."""

    name: str
    id: str
    hash: str
    created_at: float
    revoked_at: float | None
    limits: KeyLimits


@dataclass(frozen=True)
class SkillNote:
    """What is known of a skill beside its files. `path` is its folder's; `digest` is of all its files."""

    name: str
    description: str
    path: str
    digest: str = ""


class ResponseStore(Protocol):
    """Where turns and conversations are written down."""

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
        """True if there was one. Of what a delete method deletes, nothing can be read in the file after."""
        ...

    async def expire_responses(self, before: float) -> tuple[int, float | None]:
        """Delete those made earlier than that (Unix seconds) which no later turn continues.

        Returns how many, and when the oldest of the later ones was made, None if there is none.
        """
        ...

    async def deletions(self) -> int:
        """How many responses were ever deleted: what was read of a chain holds while this stays the same."""
        ...

    async def unfinished_responses(self) -> list[Unfinished]:
        """List the turns that have an owner. Never fails because of what one row contains."""
        ...

    async def write_off_response(self, id: str, owner: str, response: Json, last: JournalEntry) -> bool:  # noqa: A002
        """End a turn whose row cannot be used, as incomplete. Return False if `owner` does not own it.

        `response` replaces the stored one and `last` the whole journal. A request or an input that cannot be
        read becomes empty; one that can be read stays.
        """
        ...

    async def tenant_of_response(self, id: str) -> str:  # noqa: A002
        """Whose it is; "" for one that is not there."""
        ...

    async def adopt_response(self, id: str, was: str, owner: str) -> bool:  # noqa: A002
        """Change the owner; of several who try at once, one succeeds."""
        ...

    async def append_events(self, id: str, entries: Sequence[JournalEntry]) -> None:  # noqa: A002
        """Write on a response's journal."""
        ...

    async def events(self, id: str, after: int, limit: int) -> list[JournalEntry]:  # noqa: A002
        """At most `limit` entries with a number greater than `after`, in order."""
        ...

    async def finish_response(self, finish: Finish) -> None:
        """Write the end of a turn down, whole or not at all."""
        ...

    async def item(self, id: str) -> Json | None:  # noqa: A002
        """An item of any stored turn or conversation."""
        ...

    async def put_conversation(self, id: str, created_at: float, metadata: Json) -> None:  # noqa: A002
        """Insert one without items, or change the metadata of the one with this id."""
        ...

    async def conversation(self, id: str) -> tuple[float, Json, str | None] | None:  # noqa: A002
        """When it was made, its metadata, and the container of its last turn that had one."""
        ...

    async def delete_conversation(self, id: str) -> bool:  # noqa: A002
        """Delete it with its items. True if there was one."""
        ...

    async def add_conversation_items(self, id: str, items: Sequence[Json]) -> None:  # noqa: A002
        """Append items, each with an id."""
        ...

    async def conversation_items(self, id: str) -> list[tuple[Json, bool]]:  # noqa: A002
        """All items, oldest first, and whether each is of a turn that did not complete."""
        ...

    async def delete_conversation_item(self, id: str, item_id: str) -> bool:  # noqa: A002
        """True if there was one."""
        ...


class ApprovalStore(Protocol):
    """Which approvals were answered. Nothing is ever taken back: what was answered once cannot be again."""

    async def claim_approvals(self, ids: Sequence[str], response_id: str) -> str | None:
        """Answer all of these for a response, or none: then the first that was answered before is returned.

        Of several who try at once, in whatever process, one succeeds.
        """
        ...

    async def answered_approvals(self, ids: Sequence[str]) -> set[str]:
        """Those of these that were answered, by whatever response."""
        ...


class ContainerStore(Protocol):
    """Where containers are written down."""

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

    async def change_container(
        self,
        id: str,  # noqa: A002
        was: str,
        status: str,
        when: float,
        *,
        most: int | None = None,
    ) -> bool:
        """Set the status and the last activity (Unix seconds) of one whose status `was` this; whether it was.

        Of several who try at once, one succeeds; none while `most` of its tenant are live.
        """
        ...

    async def add_container(self, row: ContainerRow, most: int | None) -> bool:
        """Insert one, unless `most` of its tenant are live already; whether it was."""
        ...

    async def rename_container(self, id: str, new: str) -> None:  # noqa: A002
        """Give one another id."""
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


class SkillStore(Protocol):
    """Which skills are in which container; they are forgotten with it."""

    async def put_skill(self, container_id: str, note: SkillNote) -> None:
        """Insert, or replace the one of this name."""
        ...

    async def skills(self, container_id: str) -> list[SkillNote]:
        """Those of a container, by name."""
        ...


class FileStore(Protocol):
    """Where uploaded files are listed; their bytes are elsewhere."""

    async def put_file(self, row: FileRow, most: int | None = None) -> bool:
        """Insert, unless the tenant's files would have more than `most` bytes then; whether it was."""
        ...

    async def file(self, id: str) -> FileRow | None:  # noqa: A002
        """One file, or None."""
        ...

    async def files(self) -> list[FileRow]:
        """All of them, oldest first."""
        ...

    async def stored_bytes(self) -> int:
        """Of all of them together."""
        ...

    async def delete_file(self, id: str) -> bool:  # noqa: A002
        """True if there was one."""
        ...


class KeyStore(Protocol):
    """Where keys are listed. They belong to the store, not to a tenant of it."""

    async def add_key(self, row: KeyRow) -> bool:
        """Insert, or replace the revoked one of this name. False if there is one that is not revoked."""
        ...

    async def key(self, id: str) -> KeyRow | None:  # noqa: A002
        """One key, be it revoked, or None."""
        ...

    async def keys(self) -> list[KeyRow]:
        """All there ever were, by name."""
        ...

    async def revoke_key(self, name: str, when: float) -> bool:
        """True if there was one that was not."""
        ...


class Store(ResponseStore, ContainerStore, SkillStore, FileStore, ApprovalStore, KeyStore, Protocol):
    """All of it. Methods may be called concurrently, and each is atomic.

    Everything belongs to a tenant: the name of a key, or "" for whoever has no key of a name. A store of one
    tenant (`of`) neither sees nor changes what is another's: it is as if that did not exist. A store of none
    sees all, and is for what serves everybody: clean-up, expiry, the operator's commands.
    """

    @property
    def tenant(self) -> str | None:
        """Whose store this is; None sees all."""
        ...

    def of(self, tenant: str) -> Store:
        """The same store as one tenant sees it. Whichever is closed, all are."""
        ...

    @property
    def folder(self) -> Path:
        """Where files that belong to the store lie; it may not exist yet."""
        ...

    async def identity(self) -> str:
        """An id of this store, the same for ever: labels the sandboxes that belong to it."""
        ...

    async def aclose(self) -> None:
        """Finish what is queued and close the file. Idempotent."""
        ...
