"""The contract of a runtime: requests go down, events come up.

`Runtime` has two implementations, `runtime.local` (in this process) and `runtime.remote` (the `openai` client
against any Responses server). The kernel and the server know only what is in this module.

Shapes are those of the `openai` package: requests are `ResponseCreateParams`, events `ResponseStreamEvent`,
containers `ContainerCreateResponse` / `ContainerRetrieveResponse`, files `FileCreateResponse`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeAlias, TypeVar, runtime_checkable

from agent_kernel.keys import Key, Keys

if TYPE_CHECKING:  # importing openai costs 0.7 s and 48 MB: never on the kernel's way to its first idle
    from openai import BaseModel
    from openai.types import ContainerCreateResponse, FileObject
    from openai.types.containers import FileCreateResponse
    from openai.types.conversations import Conversation
    from openai.types.responses import (
        CompactedResponse,
        Response,
        ResponseSteerAcceptedEvent,
        ResponseSteerFailedEvent,
        ResponseSteerPendingEvent,
        ResponseStreamEvent,
    )

    from agent_kernel.models.server_report import ServerReport as ServerReport  # part of this contract

ResponseRequest = Mapping[str, Any]
"""The JSON body of `POST /v1/responses` (`ResponseCreateParams`)."""

SessionEvent: TypeAlias = (
    "ResponseStreamEvent | ResponseSteerAcceptedEvent | ResponseSteerFailedEvent | ResponseSteerPendingEvent"
)
"""An event on a session."""

T = TypeVar("T")
Order = Literal["asc", "desc"]


@dataclass(frozen=True)
class Page(Generic[T]):
    """A page of a list: the API's `{object: "list", data, first_id, last_id, has_more}`."""

    data: Sequence[T]
    has_more: bool


@dataclass(frozen=True)
class FileChanges:
    """The changes in a container since a mark, without deleted files.

    `files` are the newest 1,000 at most, by path; `count` is how many changed. `mark` names the state of now,
    for a later call. `known` is false when the earlier mark is not remembered: then `files` is empty.
    """

    files: Sequence[FileCreateResponse]
    count: int
    mark: str
    known: bool


@runtime_checkable
class TracksChanges(Protocol):
    """Optional for `ContainerFiles`: finds what changed without listing everything."""

    async def changes(self, container_id: str, *, since: str | None = None) -> FileChanges | None:
        """Return what changed since a mark; without one, only the mark of now.

        Returns None if the server does not offer this: then compare two lists. Errors as in
        `ContainerFiles`.
        """
        ...


class ContainerFiles(Protocol):
    """`/v1/containers/{container_id}/files`. Paths are absolute, below `/mnt/data`.

    A file's `id` is a function of container and path. On our own servers each file also has
    `agent_kernel = {"modified_ns": int}`, so that changes can be found by comparing lists. All methods raise
    `NotFound` for an unknown container or file, `InvalidRequest` for an expired container, `SandboxGone` and
    `SandboxUnreachable`.
    """

    async def create(
        self, container_id: str, *, path: str, content: AsyncIterable[bytes], size: int | None = None
    ) -> FileCreateResponse:
        """Write a file.

        A relative `path` starts at `/mnt/data`; one that leads outside raises `InvalidRequest`. A file over
        the limit raises `TooLarge`. Nothing partial is left behind.
        """
        ...

    async def list(
        self, container_id: str, *, after: str | None = None, limit: int = 20, order: Order = "desc"
    ) -> Page[FileCreateResponse]:
        """Return a page of the files below `/mnt/data` by time of change. `limit` is 1 to 100."""
        ...

    async def retrieve(self, container_id: str, file_id: str) -> FileCreateResponse:
        """Return a file's metadata."""
        ...

    def content(self, container_id: str, file_id: str) -> AsyncGenerator[bytes, None]:
        """Yield the file's bytes in chunks. Closing the generator ends the transfer."""
        ...

    async def delete(self, container_id: str, file_id: str) -> None:
        """Remove the file."""
        ...


class Containers(Protocol):
    """`/v1/containers`. Raises as `ContainerFiles` and `Backend.create` do."""

    @property
    def files(self) -> ContainerFiles:
        """The files in the containers."""
        ...

    async def create(self, params: Mapping[str, Any]) -> ContainerCreateResponse:
        """Create a container (`ContainerCreateParams`: `name`, `expires_after`, `memory_limit`, ...)."""
        ...

    async def list(
        self, *, after: str | None = None, limit: int = 20, order: Order = "desc", name: str | None = None
    ) -> Page[ContainerCreateResponse]:
        """Return a page of the containers, sorted by creation time."""
        ...

    async def retrieve(self, container_id: str) -> ContainerCreateResponse:
        """Return a container, also if it has expired (status "expired")."""
        ...

    async def reset(self, container_id: str) -> ContainerCreateResponse:
        """Begin a fresh shell in it: a running command ends, variables and the working directory are gone.

        Files and background processes stay. An extension: `NotFound` also where the server does not have it.
        """
        ...

    async def mounts(self) -> Mapping[str, str]:
        """Return the host's folders that a new container may mount: name to path in the container, sorted.

        An extension: empty also where the server does not have it.
        """
        ...

    async def delete(self, container_id: str) -> None:
        """End a container and remove everything in it."""
        ...


class Runtime(Protocol):
    """A Responses API, local or remote."""

    @property
    def containers(self) -> Containers:
        """The containers that tools run in."""
        ...

    def respond(self, request: ResponseRequest) -> AsyncGenerator[ResponseStreamEvent, None]:
        """Run one turn and stream it, `response.created` first.

        Raises before the first event if the turn cannot begin: `InvalidRequest`, `NotFound`,
        `ConfigurationError`, `SandboxError`, and for a remote runtime `UpstreamUnavailable` and
        `UpstreamRefused`. Later failures end the stream with an `error` event and `response.failed`.
        Cancelling or closing the generator stops the model and the running calls, keeps what was done, and
        leaves a chain that can be continued: the response is stored as `incomplete`, and every call in it has
        an output.
        """
        ...

    def session(self) -> Session:
        """Open a session, in which turns can be steered."""
        ...

    async def retrieve(self, response_id: str, *, include: Sequence[str] = ()) -> Response:
        """Return a stored response. Raises `NotFound`.

        It shows the fields that its own request included, and those that `include` names.
        """
        ...

    async def delete(self, response_id: str) -> None:
        """Delete a stored response. Raises `NotFound`."""
        ...

    async def models(self) -> Sequence[str]:
        """Return the names of models that requests can use; there may be more."""
        ...

    async def aclose(self) -> None:
        """Release all resources. Containers of a local runtime live until their lease ends."""
        ...


@runtime_checkable
class AsksModelServers(Protocol):
    """Optional for a `Runtime`: it reaches the servers of its models."""

    async def model_server(self, name: str | None) -> ServerReport | None:
        """Ask the server of a model what it offers. Return None if the model has no server. Uses no tokens.

        `name` None means the default model. Raises `InvalidRequest` and `ConfigurationError` for an unknown
        name. Failures of the server are part of the report.
        """
        ...


class Session(Protocol):
    """One client's connection, for one turn after the other.

    It remembers turns with `store: false`; only the same session can continue them.
    """

    def respond(self, request: ResponseRequest) -> AsyncGenerator[SessionEvent, None]:
        """Run one turn as `Runtime.respond` does. `background` and `stream` are ignored.

        If the turn is steered, its successor follows in the same generator. A continuation that fails is
        forgotten, together with the turn it continued if that was not stored.
        """
        ...

    async def steer(self, previous_response_id: object, given: object) -> SessionEvent:
        """Steer the running response; return `response.steer.accepted`, or `.failed` with the reason.

        The response ends at the next safe point, as `incomplete` with the reason `steered`: a model is
        stopped at once, a command gets a few seconds to end. Errors of the connection are a `.failed` too.
        """
        ...

    def lost(self, error: Exception) -> Sequence[SessionEvent]:
        """Return events that hand back accepted messages, after `respond` raised `error` for a successor."""
        ...


class Conversations(Protocol):
    """`/v1/conversations`. All methods raise `NotFound`, and `InvalidRequest` for wrong `params`."""

    async def create(self, params: Mapping[str, Any]) -> Conversation:
        """Create a conversation (`metadata`, `items`)."""
        ...

    async def retrieve(self, conversation_id: str) -> Conversation:
        """Return a conversation."""
        ...

    async def update(self, conversation_id: str, params: Mapping[str, Any]) -> Conversation:
        """Replace a conversation's `metadata`."""
        ...

    async def delete(self, conversation_id: str) -> None:
        """Delete a conversation and its items."""
        ...

    async def add(self, conversation_id: str, params: Mapping[str, Any]) -> Page[Any]:
        """Append `items` and return them as stored."""
        ...

    async def items(
        self,
        conversation_id: str,
        *,
        after: str | None = None,
        limit: int = 20,
        order: Order = "desc",
        include: Sequence[str] = (),
    ) -> Page[Any]:
        """Return a page of a conversation's items."""
        ...

    async def item(self, conversation_id: str, item_id: str, *, include: Sequence[str] = ()) -> BaseModel:
        """Return an item."""
        ...

    async def delete_item(self, conversation_id: str, item_id: str) -> Conversation:
        """Remove an item."""
        ...


class Files(Protocol):
    """`/v1/files`. All methods raise `NotFound` for an unknown file."""

    async def create(
        self, *, filename: str, content: AsyncIterable[bytes], form: Mapping[str, str]
    ) -> FileObject:
        """Store a file. Raises `InvalidRequest` and `TooLarge`; nothing partial is left behind.

        `form` has the upload's other fields, such as `purpose` and `expires_after[seconds]`. They may arrive
        after the file, so `form` is read once all of `content` has arrived.
        """
        ...

    async def list(
        self, *, after: str | None = None, limit: int = 100, order: Order = "desc", purpose: str | None = None
    ) -> Page[FileObject]:
        """Return a page of the files."""
        ...

    async def retrieve(self, file_id: str) -> FileObject:
        """Return a file's metadata."""
        ...

    def content(self, file_id: str) -> AsyncGenerator[bytes, None]:
        """Yield the file's bytes in chunks."""
        ...

    async def delete(self, file_id: str) -> None:
        """Delete the file."""
        ...


class ServedRuntime(Runtime, Protocol):
    """A runtime with everything that a server of the API offers.

    Methods raise `LimitReached` for a limit of the key before anything has changed.
    """

    @property
    def keys(self) -> Keys:
        """The named keys."""
        ...

    def for_key(self, key: Key) -> ServedRuntime:
        """Return the runtime as seen with this key: objects of other keys do not exist."""
        ...

    @property
    def conversations(self) -> Conversations:
        """The conversations."""
        ...

    @property
    def files(self) -> Files:
        """The uploaded files."""
        ...

    async def start(self) -> None:
        """Clean up after processes that died. Idempotent; otherwise it happens on first use."""
        ...

    def follow(
        self, response_id: str, after: int = -1, *, include: Sequence[str] = ()
    ) -> AsyncGenerator[ResponseStreamEvent, None]:
        """Yield the events of a background response numbered above `after`, including those to come.

        Raises `NotFound`, and `InvalidRequest` for a response that was not made in the background.
        """
        ...

    async def cancel(self, response_id: str) -> Response:
        """Stop a background response and return it. One that has ended is returned unchanged.

        Raises `NotFound`, and `InvalidRequest` for a response that was not made in the background.
        """
        ...

    async def input_items(
        self,
        response_id: str,
        *,
        after: str | None = None,
        limit: int = 20,
        order: Order = "desc",
        include: Sequence[str] = (),
    ) -> Page[Any]:
        """Return a page of a response's input items. Raises `NotFound`, `InvalidRequest`."""
        ...

    async def count_tokens(self, request: ResponseRequest) -> int:
        """Return an estimate of the input tokens. Raises `InvalidRequest`, `NotFound`."""
        ...

    async def compact(self, request: ResponseRequest) -> CompactedResponse:
        """Return a compacted conversation. Raises `InvalidRequest`, `NotFound`, and what the model raises."""
        ...

    async def create_container(self, params: Mapping[str, Any]) -> ContainerCreateResponse:
        """Create a container with the uploaded files in `file_ids`; see `Containers.create`."""
        ...

    async def copy_file(self, container_id: str, file_id: str) -> FileCreateResponse:
        """Copy an uploaded file into a container; see `ContainerFiles.create`."""
        ...

    async def measures(self) -> str:
        """Return the metrics that the key may see, in Prometheus's text format."""
        ...
