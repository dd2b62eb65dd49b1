"""The one street: requests go down, events come up.

`Runtime` has two bodies, `runtime.local` (in this process) and `runtime.remote` (the `openai` client against
any Responses server). The kernel and the server know only what stands here.

Shapes are those of the `openai` package: requests are `ResponseCreateParams`, events `ResponseStreamEvent`,
containers `ContainerCreateResponse` / `ContainerRetrieveResponse`, files `FileCreateResponse`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeAlias, TypeVar

from agent_kernel.keys import Key

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

ResponseRequest = Mapping[str, Any]
"""The JSON body of `POST /v1/responses` (`ResponseCreateParams`)."""

SessionEvent: TypeAlias = (
    "ResponseStreamEvent | ResponseSteerAcceptedEvent | ResponseSteerFailedEvent | ResponseSteerPendingEvent"
)
"""What a client hears on a connection of its own."""

T = TypeVar("T")
Order = Literal["asc", "desc"]


@dataclass(frozen=True)
class Page(Generic[T]):
    """A page of a list, as the API's `{object: "list", data, first_id, last_id, has_more}`."""

    data: Sequence[T]
    has_more: bool


class Keys(Protocol):
    """The keys that a server knows by name."""

    async def exist(self) -> bool:
        """Whether there ever was one, be it revoked since: nobody is served without a key then."""
        ...

    async def find(self, secret: str) -> Key | None:
        """Whose key this is; None if it is nobody's, or was revoked."""
        ...


class ContainerFiles(Protocol):
    """`/v1/containers/{container_id}/files`. Paths are absolute, below `/mnt/data`.

    A file's `id` is a function of container and path. Each file carries, beside the standard's fields,
    `agent_kernel = {"modified_ns": int}` where the server is ours: what changed is seen by comparing lists.
    All methods raise `NotFound` for an unknown container or file, `InvalidRequest` for an expired container,
    `SandboxGone` and `SandboxUnreachable`.
    """

    async def create(
        self, container_id: str, *, path: str, content: AsyncIterable[bytes], size: int | None = None
    ) -> FileCreateResponse:
        """Write a file.

        A relative `path` is taken from `/mnt/data`; one that leads outside is refused with `InvalidRequest`.
        A file over the limit raises `TooLarge`; nothing partial is left behind.
        """
        ...

    async def list(
        self, container_id: str, *, after: str | None = None, limit: int = 20, order: Order = "desc"
    ) -> Page[FileCreateResponse]:
        """A page of the files below `/mnt/data`, `order` by time of change; `limit` is 1 to 100."""
        ...

    async def retrieve(self, container_id: str, file_id: str) -> FileCreateResponse:
        """One file's metadata."""
        ...

    def content(self, container_id: str, file_id: str) -> AsyncGenerator[bytes, None]:
        """The file's bytes, in chunks; closing the generator ends the transfer."""
        ...

    async def delete(self, container_id: str, file_id: str) -> None:
        """Remove the file."""
        ...


class Containers(Protocol):
    """`/v1/containers`. Errors as in `ContainerFiles`, and those of `Backend.create`."""

    @property
    def files(self) -> ContainerFiles:
        """The files in them."""
        ...

    async def create(self, params: Mapping[str, Any]) -> ContainerCreateResponse:
        """Make a container (`ContainerCreateParams`: `name`, `expires_after`, `memory_limit`, ...)."""
        ...

    async def list(
        self, *, after: str | None = None, limit: int = 20, order: Order = "desc", name: str | None = None
    ) -> Page[ContainerCreateResponse]:
        """A page of the containers, by time of creation."""
        ...

    async def retrieve(self, container_id: str) -> ContainerCreateResponse:
        """One container, expired ones included (status "expired")."""
        ...

    async def delete(self, container_id: str) -> None:
        """End it and remove all that is in it."""
        ...


class Runtime(Protocol):
    """A Responses API, local or remote."""

    @property
    def containers(self) -> Containers:
        """The sandboxes that commands run in."""
        ...

    def respond(self, request: ResponseRequest) -> AsyncGenerator[ResponseStreamEvent, None]:
        """Run one turn and stream it, `response.created` first.

        Raises before the first event for a request that cannot be begun (`InvalidRequest`, `NotFound`,
        `ConfigurationError`, `SandboxError`, `UpstreamUnavailable` and `UpstreamRefused` of a remote
        runtime). Once begun, whatever goes wrong ends the stream by an `error` event and then
        `response.failed`. Cancelling or closing the generator stops the model and the running command, keeps
        what was done, and leaves a chain that can be continued: the response is stored as `incomplete` and
        every call in it has an output.
        """
        ...

    def session(self) -> Session:
        """A connection for turns that may be steered."""
        ...

    async def retrieve(self, response_id: str) -> Response:
        """A stored response. Raises `NotFound`."""
        ...

    async def delete(self, response_id: str) -> None:
        """Delete a stored response. Raises `NotFound`."""
        ...

    async def models(self) -> Sequence[str]:
        """Names of models that can be asked for (not necessarily all)."""
        ...

    async def aclose(self) -> None:
        """Release everything held; containers of a local runtime live on until their lease ends."""
        ...


class Session(Protocol):
    """One client's connection, over which it sends one turn after the other.

    It remembers the turns that are stored nowhere (`store: false`), and only it can continue them.
    """

    def respond(self, request: ResponseRequest) -> AsyncGenerator[SessionEvent, None]:
        """Run one turn as `Runtime.respond` does; `background` and `stream` mean nothing here.

        When the turn is steered, its successor follows in the same generator. A continuation that fails is
        forgotten with the turn that it continued, if that was remembered here only.
        """
        ...

    async def steer(self, previous_response_id: object, given: object) -> SessionEvent:
        """Say something to the response that runs: `response.steer.accepted`, or `.failed` with the reason.

        The response then ends at the next safe place, as `incomplete` with the reason `steered`: a model is
        stopped at once, a command has a few seconds to end. Raises nothing that a connection does wrong: that
        is a `.failed` too.
        """
        ...

    def lost(self, error: Exception) -> Sequence[SessionEvent]:
        """Events that give back what was accepted, after `respond` raised `error` for a successor."""
        ...


class Conversations(Protocol):
    """`/v1/conversations`. All raise `NotFound`, and `InvalidRequest` for what is wrong in `params`."""

    async def create(self, params: Mapping[str, Any]) -> Conversation:
        """Make one (`metadata`, `items`)."""
        ...

    async def retrieve(self, conversation_id: str) -> Conversation:
        """One conversation."""
        ...

    async def update(self, conversation_id: str, params: Mapping[str, Any]) -> Conversation:
        """Replace its `metadata`."""
        ...

    async def delete(self, conversation_id: str) -> None:
        """Delete it and its items."""
        ...

    async def add(self, conversation_id: str, params: Mapping[str, Any]) -> Page[Any]:
        """Append `items`; returns them as they are kept."""
        ...

    async def items(
        self, conversation_id: str, *, after: str | None = None, limit: int = 20, order: Order = "desc"
    ) -> Page[Any]:
        """A page of its items."""
        ...

    async def item(self, conversation_id: str, item_id: str) -> BaseModel:
        """One item."""
        ...

    async def delete_item(self, conversation_id: str, item_id: str) -> Conversation:
        """Remove one item."""
        ...


class Files(Protocol):
    """`/v1/files`. All methods raise `NotFound` for an unknown file."""

    async def create(
        self, *, filename: str, content: AsyncIterable[bytes], form: Mapping[str, str]
    ) -> FileObject:
        """Keep a file. Raises `InvalidRequest`, `TooLarge`; nothing partial is left behind.

        `form` has the upload's other fields, `purpose` and perhaps `expires_after[seconds]`; those may come
        after the file, so it is looked at when all of `content` has come.
        """
        ...

    async def list(
        self, *, after: str | None = None, limit: int = 100, order: Order = "desc", purpose: str | None = None
    ) -> Page[FileObject]:
        """A page of the files."""
        ...

    async def retrieve(self, file_id: str) -> FileObject:
        """One file's metadata."""
        ...

    def content(self, file_id: str) -> AsyncGenerator[bytes, None]:
        """Its bytes, in chunks."""
        ...

    async def delete(self, file_id: str) -> None:
        """Delete it."""
        ...


class ServedRuntime(Runtime, Protocol):
    """A runtime with all that a server of the API offers.

    What raises for a limit of its key (`LimitReached`) does so before anything has changed.
    """

    @property
    def keys(self) -> Keys:
        """Who may be served."""
        ...

    def for_key(self, key: Key) -> ServedRuntime:
        """The same runtime as the holder of this key has it: whatever is another's does not exist."""
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
        """Clean up after processes that died. Idempotent; everything else does it on first use."""
        ...

    def follow(self, response_id: str, after: int = -1) -> AsyncGenerator[ResponseStreamEvent, None]:
        """The events of a background response with a number greater than `after`, those to come included.

        Raises `NotFound`, and `InvalidRequest` for a response that was not made in the background.
        """
        ...

    async def cancel(self, response_id: str) -> Response:
        """Stop a background response and return it; one that has ended is returned as it is.

        Raises `NotFound`, and `InvalidRequest` for a response that was not made in the background.
        """
        ...

    async def input_items(
        self, response_id: str, *, after: str | None = None, limit: int = 20, order: Order = "desc"
    ) -> Page[Any]:
        """A page of a response's input items. Raises `NotFound`, `InvalidRequest`."""
        ...

    async def count_tokens(self, request: ResponseRequest) -> int:
        """Tokens that the model would be told, estimated. Raises `InvalidRequest`, `NotFound`."""
        ...

    async def compact(self, request: ResponseRequest) -> CompactedResponse:
        """A conversation in short. Raises `InvalidRequest`, `NotFound`, and what the model raises."""
        ...

    async def create_container(self, params: Mapping[str, Any]) -> ContainerCreateResponse:
        """Make a container that begins with the uploaded files in `file_ids`; see `Containers.create`."""
        ...

    async def copy_file(self, container_id: str, file_id: str) -> FileCreateResponse:
        """Copy an uploaded file into a container; see `ContainerFiles.create`."""
        ...

    async def measures(self) -> str:
        """Return the metrics that the key may see, in Prometheus's text format."""
        ...
