"""The one street: requests go down, events come up.

`Runtime` has two bodies, `runtime.local` (in this process) and `runtime.remote` (the `openai` client against
any Responses server). The kernel and the server know only what stands here.

Shapes are those of the `openai` package: requests are `ResponseCreateParams`, events `ResponseStreamEvent`,
containers `ContainerCreateResponse` / `ContainerRetrieveResponse`, files `FileCreateResponse`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar

if TYPE_CHECKING:  # importing openai costs 0.7 s and 48 MB: never on the kernel's way to its first idle
    from openai.types import ContainerCreateResponse
    from openai.types.containers import FileCreateResponse
    from openai.types.responses import Response, ResponseStreamEvent

ResponseRequest = Mapping[str, Any]
"""The JSON body of `POST /v1/responses` (`ResponseCreateParams`)."""

T = TypeVar("T")
Order = Literal["asc", "desc"]


@dataclass(frozen=True)
class Page(Generic[T]):
    """A page of a list, as the API's `{object: "list", data, first_id, last_id, has_more}`."""

    data: Sequence[T]
    has_more: bool


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
