"""The rows of a store: responses, files, containers, sessions, keys and skills. Times are Unix seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent_kernel.keys import KeyLimits

Json = Mapping[str, Any]


@dataclass(frozen=True)
class ResponseRow:
    """One turn: its input, its output and the turn that it continues."""

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
    """The id of the process that runs the turn, while it runs; see `Coordination`."""
    conversation_id: str | None = None
    resumed: int = 0
    """The number of times that a new process has resumed the turn."""


@dataclass(frozen=True)
class Unfinished:
    """The columns of a turn with an owner that recovery needs, read without decoding JSON."""

    id: str
    created_at: float
    model: str
    owner: str


JournalEntry = tuple[int, str]
"""An event's sequence number and its JSON."""


@dataclass(frozen=True)
class Finish:
    """The end of a turn, written in one transaction.

    `events` are the last of the journal. Without `keep_events` the journal is dropped, because the row now
    has everything. Without `keep_row` (`store: false`) only the conversation, if any, gets what was `said`.
    """

    row: ResponseRow
    events: Sequence[JournalEntry] = ()
    keep_events: bool = False
    keep_row: bool = True
    said: Sequence[Json] = ()
    """The turn's input and output items, to be added to its conversation; each has an id."""


@dataclass(frozen=True)
class FileRow:
    """One file of `/v1/files`."""

    id: str
    created_at: float
    filename: str
    purpose: str
    bytes: int
    expires_at: float | None = None


@dataclass(frozen=True)
class ContainerRow:
    """One container. `expires_after` is in minutes after `last_active_at`.

    `status` is `creating`, `running`, `expired` (it has ended; a checkpoint may bring it back), `restoring`
    (it is being brought back), `saving` (it was ended from outside, and a checkpoint is being taken) or
    `dead` (it was ended from outside, and nothing is kept).
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
    """The tenant that it belongs to; see `Rows`."""
    resources: str = "{}"
    """Its limits beyond memory, its volume and its mounts, as JSON."""
    network: str = "{}"
    """Its network policy and the ports of its network, as JSON; `{}`: it has no network."""
    sandbox: str = ""
    """The id of its sandbox, once it has gone back to a snapshot; empty: the container's own id."""

    @property
    def sandbox_id(self) -> str:
        """The id of its sandbox at the backend."""
        return self.sandbox or self.id

    @property
    def expires_at(self) -> float:
        """Unix seconds."""
        return self.last_active_at + self.expires_after * 60


@dataclass(frozen=True)
class SessionRow:
    """One kept session; see `runtime.kept`. `state` is JSON."""

    id: str
    name: str
    created_at: float
    updated_at: float
    response_id: str | None
    container_id: str | None
    notebook: str
    state: str
    revision: int = 1
    tenant: str = ""
    responses: tuple[str, ...] = ()


@dataclass(frozen=True)
class KeyRow:
    """One key. `id` is its public part, `hash` the SHA-256 of the whole key in hex digits."""

    name: str
    id: str
    hash: str
    created_at: float
    revoked_at: float | None
    limits: KeyLimits


@dataclass(frozen=True)
class SkillVersionRow:
    """One version of a kept skill. `Blobs` keeps its archive under its id; `bytes` is the archive's size."""

    id: str
    number: int
    created_at: float
    name: str
    description: str
    bytes: int


@dataclass(frozen=True)
class KeptSkillRow:
    """One skill of `/v1/skills`. `versions` are by number; `last` is the last number that was given away."""

    id: str
    created_at: float
    default: int
    last: int
    versions: Sequence[SkillVersionRow]
    revision: int = 1

    def version(self, number: int) -> SkillVersionRow | None:
        """Return one version, or None."""
        return next((each for each in self.versions if each.number == number), None)


@dataclass(frozen=True)
class SkillNote:
    """A skill in a container. `path` is its folder; `digest` covers all its files."""

    name: str
    description: str
    path: str
    digest: str = ""
