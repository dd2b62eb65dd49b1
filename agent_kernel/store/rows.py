"""The contract of a store's rows: responses, conversations, containers, sessions, files, keys and more."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from agent_kernel.store.kept_skills import KeptSkillRows
from agent_kernel.store.records import (
    ContainerRow,
    FileRow,
    Finish,
    JournalEntry,
    Json,
    KeyRow,
    ResponseRow,
    SessionRow,
    SkillNote,
    Unfinished,
)


class ResponseRows(Protocol):
    """Turns and their journals."""

    async def put_response(self, row: ResponseRow) -> None:
        """Insert a turn, or replace the one with this id."""
        ...

    async def response(self, id: str) -> ResponseRow | None:  # noqa: A002
        """Return one turn, or None. Raises `ValueError` for a row that cannot be read."""
        ...

    async def chain(self, id: str) -> list[ResponseRow]:  # noqa: A002
        """Return the turns that lead to this one, oldest first, itself last.

        The list starts late if an earlier turn was deleted.
        """
        ...

    async def delete_response(self, id: str) -> bool:  # noqa: A002
        """Delete a turn. Return whether it was there."""
        ...

    async def expire_responses(self, before: float) -> tuple[int, float | None]:
        """Delete turns created earlier than `before` (Unix seconds).

        Those stay that a later turn continues, or that lead to a turn of a kept session.
        Return how many, and when the oldest of the later ones was created, None if there is none. It takes
        the store for a short time only, again and again.
        """
        ...

    async def deletions(self) -> int:
        """Return a number that grows with every deletion of a response.

        What was read of a chain is up to date as long as the number stays the same.
        """
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
        """Return the tenant that a turn belongs to; "" if there is no such turn."""
        ...

    async def adopt_response(self, id: str, was: str, owner: str) -> bool:  # noqa: A002
        """Change the owner from `was`. Of several processes that try at once, one succeeds."""
        ...

    async def append_events(self, id: str, entries: Sequence[JournalEntry]) -> None:  # noqa: A002
        """Append to a turn's journal. Does nothing if the turn was deleted."""
        ...

    async def events(self, id: str, after: int, limit: int) -> list[JournalEntry]:  # noqa: A002
        """Return at most `limit` journal entries with a number greater than `after`, in order."""
        ...

    async def finish_response(self, finish: Finish) -> None:
        """Write the end of a turn, all of it or nothing."""
        ...

    async def item(self, id: str) -> Json | None:  # noqa: A002
        """Return an item of any stored turn or conversation, or None."""
        ...


class ConversationRows(Protocol):
    """Conversations and their items."""

    async def put_conversation(self, id: str, created_at: float, metadata: Json) -> None:  # noqa: A002
        """Insert a conversation without items, or change the metadata of the one with this id."""
        ...

    async def conversation(self, id: str) -> tuple[float, Json, str | None] | None:  # noqa: A002
        """Return when it was created, its metadata, and the container of its last turn that had one."""
        ...

    async def delete_conversation(self, id: str) -> bool:  # noqa: A002
        """Delete a conversation with its items. Return whether it was there."""
        ...

    async def add_conversation_items(self, id: str, items: Sequence[Json]) -> None:  # noqa: A002
        """Append items, each with an id. An item with a known id moves to the end."""
        ...

    async def conversation_items(self, id: str) -> list[tuple[Json, bool]]:  # noqa: A002
        """Return all items, oldest first, each with whether its turn did not complete."""
        ...

    async def delete_conversation_item(self, id: str, item_id: str) -> bool:  # noqa: A002
        """Delete one item. Return whether it was there."""
        ...


class ApprovalRows(Protocol):
    """Answered approvals. They are never deleted: an approval is answered once."""

    async def claim_approvals(self, ids: Sequence[str], response_id: str) -> str | None:
        """Mark all of these as answered by a response, or none if one was answered before: return that one.

        Of several processes that try at once, one succeeds.
        """
        ...

    async def answered_approvals(self, ids: Sequence[str]) -> set[str]:
        """Return those of these that were answered, by any response."""
        ...


class ContainerRows(Protocol):
    """Containers, and which of their files the user uploaded."""

    async def put_container(self, row: ContainerRow) -> None:
        """Insert a container, or replace the one with this id; its uploads are kept."""
        ...

    async def container(self, id: str) -> ContainerRow | None:  # noqa: A002
        """Return one container, or None."""
        ...

    async def containers(self) -> list[ContainerRow]:
        """Return all containers, oldest first."""
        ...

    async def touch_container(self, id: str, when: float) -> ContainerRow | None:  # noqa: A002
        """Record that a container was active at `when`, if it runs. Return it, or None if there is none."""
        ...

    async def end_container(self, id: str, status: str, *, if_idle_at: float | None = None) -> bool:  # noqa: A002
        """Set the status of a live container and return whether it was live.

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
        """Set status and last activity (Unix seconds) if the status `was` this; return whether it was.

        Of several processes that try at once, one succeeds; none while the tenant has `most` live containers.
        """
        ...

    async def add_container(self, row: ContainerRow, most: int | None) -> bool:
        """Insert a container and return True, or False if its tenant has `most` live ones already."""
        ...

    async def rename_container(self, id: str, new: str) -> None:  # noqa: A002
        """Change a container's id."""
        ...

    async def put_network(self, id: str, network: str) -> bool:  # noqa: A002
        """Replace a container's `network`. Return whether the container was there."""
        ...

    async def replace_sandbox(self, id: str, was: str, sandbox: str, when: float) -> bool:  # noqa: A002
        """Give a running container another sandbox if it still has the one it `was`; return whether it had.

        `when` is its last activity (Unix seconds). Of several processes that try at once, one succeeds.
        """
        ...

    async def delete_container(self, id: str, *, sandbox: str | None = None) -> bool:  # noqa: A002
        """Delete a container, with `sandbox` only if it has this one. Return whether it did."""
        ...

    async def add_upload(self, container_id: str, path: str) -> None:
        """Record that the user uploaded the file at `path`. Does nothing for an unknown container."""
        ...

    async def remove_upload(self, container_id: str, path: str) -> None:
        """Forget an upload."""
        ...

    async def uploads(self, container_id: str) -> set[str]:
        """Return the paths of the files that the user uploaded."""
        ...


class SessionRows(Protocol):
    """Kept sessions."""

    async def add_session(self, row: SessionRow, most: int) -> bool:
        """Insert a session and return True, or False if its tenant has `most` already."""
        ...

    async def replace_session(self, row: SessionRow, was: int) -> bool:
        """Replace all but tenant and creation if the stored revision `was` this; return whether it was.

        Of several processes that try at once, one succeeds.
        """
        ...

    async def session(self, id: str) -> SessionRow | None:  # noqa: A002
        """Return one session, or None."""
        ...

    async def sessions(self) -> list[SessionRow]:
        """Return all sessions, the last kept first; `state` is empty."""
        ...

    async def delete_session(self, id: str) -> bool:  # noqa: A002
        """Delete a session. Return whether it was there."""
        ...

    async def session_containers(self) -> set[str]:
        """Return the ids of the containers of all sessions."""
        ...

    async def interrupted_turn(self, id: str) -> str | None:  # noqa: A002
        """Return the newest turn that continues a session's in its container, made since it was kept."""
        ...


class SkillRows(Protocol):
    """The skills in containers; they are deleted with their container."""

    async def put_skill(self, container_id: str, note: SkillNote) -> None:
        """Insert a skill, or replace the one of this name."""
        ...

    async def remove_skill(self, container_id: str, name: str) -> None:
        """Delete a skill, if there is one of this name."""
        ...

    async def skills(self, container_id: str) -> list[SkillNote]:
        """Return the skills of a container, by name."""
        ...


class FileRows(Protocol):
    """Uploaded files. `Blobs` keeps their bytes."""

    async def put_file(self, row: FileRow, most: int | None = None) -> bool:
        """Insert a file and return True, or False if the tenant's files would exceed `most` bytes."""
        ...

    async def file(self, id: str) -> FileRow | None:  # noqa: A002
        """Return one file, or None."""
        ...

    async def files(self) -> list[FileRow]:
        """Return all files, oldest first."""
        ...

    async def stored_bytes(self) -> int:
        """Return the total size of all files."""
        ...

    async def delete_file(self, id: str) -> bool:  # noqa: A002
        """Delete a file's row. Return whether it was there."""
        ...


class PlaceRows(Protocol):
    """The places of deleted entries in the API's lists. They are kept for some days."""

    async def before(self, listed: str, id: str) -> str | None:  # noqa: A002
        """Return the id of the entry that comes before the place of a deleted one.

        `listed` is "files", "containers", or the id of the conversation that the entry was an item of.
        Returns "" if nothing comes before, None if no deleted entry of this id is known.
        """
        ...

    async def put_place(self, container_id: str, file_id: str, place: str) -> None:
        """Keep the place of a file in a container's list. Does nothing for an unknown container."""
        ...

    async def place(self, container_id: str, file_id: str) -> str | None:
        """Return the place of a file that was last put, or None."""
        ...


class KeyRows(Protocol):
    """API keys. They belong to the store, not to a tenant."""

    async def add_key(self, row: KeyRow) -> bool:
        """Insert a key, or replace the revoked one of this name. Return False if that one is not revoked."""
        ...

    async def key(self, id: str) -> KeyRow | None:  # noqa: A002
        """Return one key, revoked or not, or None."""
        ...

    async def keys(self) -> list[KeyRow]:
        """Return all keys, revoked ones included, by name."""
        ...

    async def revoke_key(self, name: str, when: float) -> bool:
        """Revoke a key. Return False if there is none of this name that is not revoked."""
        ...


class TraceRows(Protocol):
    """What belongs together, and where a text occurs: for complete deletion."""

    async def related_responses(self, ids: Collection[str]) -> set[str]:
        """Return the ids of these turns, of all that lead to them, and of all that continue any of those."""
        ...

    async def mentions(self, text: str) -> set[tuple[str, str]]:
        """Return where a text occurs: `responses`, `events` or `conversations`, with the id.

        Of a response the id of its container counts too.
        """
        ...


class Rows(
    ResponseRows,
    ConversationRows,
    ContainerRows,
    SessionRows,
    SkillRows,
    KeptSkillRows,
    FileRows,
    PlaceRows,
    ApprovalRows,
    KeyRows,
    TraceRows,
    Protocol,
):
    """All rows of a store. Methods may be called concurrently, and each is atomic.

    Every row belongs to a tenant: the name of a key, or "" for requests without a named key. `of(tenant)`
    reads and changes only that tenant's rows; to it, no other rows exist. `tenant` None means all rows; it is
    for recovery, expiry and the operator's commands.

    All methods raise `ConfigurationError` if the store cannot be used. Cancelling a call does not undo it.
    """

    @property
    def tenant(self) -> str | None:
        """The tenant whose rows these are; None: all."""
        ...

    def of(self, tenant: str) -> Rows:
        """Return one tenant's view of the same rows. Closing any view closes all."""
        ...

    def version(self) -> int | None:
        """Return a number that each change by any process replaces; None if telling it would take a wait.

        Call it in the event loop.
        """
        ...

    async def identity(self) -> str:
        """Return the id of this store, which never changes. It labels the sandboxes of the store."""
        ...

    async def claim_sandboxes(self, place: str) -> str:
        """Return the place of this store's sandboxes that live in a folder; the first one given stays."""
        ...

    async def aclose(self) -> None:
        """Finish pending calls and release the store. Idempotent."""
        ...
