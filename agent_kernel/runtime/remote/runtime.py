"""A runtime over HTTP: the `openai` client against any Responses server."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, cast

import openai
from openai import AsyncOpenAI, AsyncStream
from openai.types.responses import Response, ResponseStreamEvent

from agent_kernel.errors import AgentKernelError
from agent_kernel.protocol.fold import Fold
from agent_kernel.runtime.base import ResponseRequest
from agent_kernel.runtime.remote.containers import RemoteContainers
from agent_kernel.runtime.remote.errors import translated
from agent_kernel.runtime.remote.kept import RemoteKeptSessions
from agent_kernel.runtime.remote.library import RemoteLibrary
from agent_kernel.runtime.remote.session import RemoteSession
from agent_kernel.runtime.remote.skills import RemoteLentSkills
from agent_kernel.runtime.turns.failure import failed_events

CALL_TIMEOUT = openai.Timeout(180.0, connect=10.0)
"""Seconds. Creating a container is the slowest call; connecting is never slow."""

STREAM_TIMEOUT = openai.Timeout(None, connect=10.0)
"""No limit: a turn is silent while its command prints nothing."""


class RemoteRuntime(RemoteKeptSessions, RemoteLibrary, RemoteLentSkills):
    """A Responses server at `base_url` (ending in `/v1`). `api_key` is None for servers without keys.

    Nothing is retried, because the turn may have done something already.
    """

    def __init__(self, base_url: str, api_key: str | None = None) -> None:
        client = AsyncOpenAI(
            base_url=base_url, api_key=api_key or "none", timeout=CALL_TIMEOUT, max_retries=0
        )
        super().__init__(client)
        if not self._client.base_url.host.endswith("openai.com"):
            # The client takes these from OpenAI's environment variables; they are meant for OpenAI only.
            self._client.organization = self._client.project = None
        self._containers = RemoteContainers(self._client)

    @property
    def containers(self) -> RemoteContainers:
        """The server's containers."""
        return self._containers

    async def respond(self, request: ResponseRequest) -> AsyncGenerator[ResponseStreamEvent, None]:
        """Run one turn there and stream it; see `Runtime.respond`. Closing it ends the turn there too."""
        async with translated(self._client):
            stream = await self._client.post(
                "/responses",
                body={**request, "stream": True},
                cast_to=cast(Any, ResponseStreamEvent),  # a union, as in the package's own call
                # "events": an error event is passed on like any other, not raised
                options={"timeout": STREAM_TIMEOUT, "stream_mode": "events"},
                stream=True,
                stream_cls=AsyncStream[ResponseStreamEvent],
            )
        async with aclosing(_whole(stream, self._client)) as events:
            async for event in events:
                yield event

    def session(self) -> RemoteSession:
        """See `Runtime`."""
        return RemoteSession(self.respond)

    async def retrieve(self, response_id: str, *, include: Sequence[str] = ()) -> Response:
        """Return a stored response. Raises `NotFound`."""
        async with translated(self._client):
            return await self._client.responses.retrieve(response_id, include=cast(Any, list(include)))

    async def answer(self, response_id: str, given: Mapping[str, Any]) -> None:
        """See `AnswersQuestions`."""
        async with translated(self._client):
            where = f"/responses/{response_id}/agent_kernel/approvals"
            await self._client.post(where, body=dict(given), cast_to=cast(Any, dict[str, Any]))

    async def delete(self, response_id: str) -> None:
        """Delete a stored response. Raises `NotFound`."""
        async with translated(self._client):
            await self._client.responses.delete(response_id)

    async def models(self) -> Sequence[str]:
        """Return the names of the server's models."""
        async with translated(self._client):
            return [model.id async for model in self._client.models.list()]

    async def aclose(self) -> None:
        """Close connections; containers live on. Idempotent."""
        await self._client.close()


async def _whole(
    stream: AsyncStream[ResponseStreamEvent], client: AsyncOpenAI
) -> AsyncGenerator[ResponseStreamEvent, None]:
    """Yield every event; add the end that the contract requires if the stream breaks off."""
    fold = Fold()
    last: Response | None = None
    number = -1
    failure: AgentKernelError | None = None
    async with stream:
        try:
            async with translated(client, begun=True):
                async for event in stream:
                    fold.add(event)
                    last = getattr(event, "response", last)
                    number = getattr(event, "sequence_number", number)
                    yield event
            fold.response()  # raises if the end was missing
        except AgentKernelError as error:
            failure = error
    if failure is not None:
        if last is None:
            raise failure
        for event in failed_events(last, str(failure), number + 1):
            yield event
