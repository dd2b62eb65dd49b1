"""Models of Anthropic's Messages API, translated both ways."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import quote

import openai

from agent_kernel.models.anthropic.details import UNKNOWN, Details, read_details
from agent_kernel.models.anthropic.parts import TAKES, block_of_part
from agent_kernel.models.anthropic.request import Accepted, body_of, check_settings
from agent_kernel.models.anthropic.stream import MessagesReader
from agent_kernel.models.anthropic.thinking import sealed
from agent_kernel.models.base import Item, ModelRequest
from agent_kernel.models.chat_parts import check_parts
from agent_kernel.models.conversation import CallIds
from agent_kernel.models.offered import Offered
from agent_kernel.models.probing.probe import detail, probe
from agent_kernel.models.reading.room import Room
from agent_kernel.models.server_report import ServerReport
from agent_kernel.models.upstream import Upstream
from agent_kernel.protocol.deltas import ModelDelta, Notice

NO_REASONING = "The model at {} refused these settings of its reasoning, so it answered with its own."


class AnthropicModel:
    """The models of one upstream, an `AnthropicUpstream`.

    This server's tools and the client's functions are offered as tools. Before the first request for a model
    its limits are asked for; a server that does not tell them gets cautious ones. A feature that the server
    refuses (400 or 422, before anything is streamed) is left out in another attempt.
    """

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._details: dict[str, Details] = {}
        self._accepted: dict[str, Accepted] = {}

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelDelta, None]:
        """Stream one step; see `models.base.Model.stream`."""
        details = await self._details_of(request.model)
        first = self._accepted.get(request.model, Accepted())
        accepted, lasting = first, True
        while True:
            try:
                answer = self._upstream.persistently(partial(self._attempt, request, details, accepted))
                async with aclosing(answer) as deltas:
                    async for delta in deltas:
                        yield delta
            except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
                less = accepted.without(said := str(error.body))
                if less is None:
                    raise self._upstream.refusal(error) from None
                accepted, lasting = less, lasting and "messages." not in said
            else:
                if accepted.reasoning != first.reasoning and request.settings.get("reasoning"):
                    yield Notice(NO_REASONING.format(self._upstream.address))
                if lasting:  # what a server refuses because of one conversation it may accept in another
                    self._accepted[request.model] = replace(accepted, thoughts=True)
                self._details[request.model] = details
                return

    async def _attempt(
        self, request: ModelRequest, details: Details, accepted: Accepted
    ) -> AsyncGenerator[ModelDelta, None]:
        origin = self._upstream.origin(request.model)
        reader = MessagesReader(
            CallIds(request.input),
            Offered(request.tools, native=False),
            lambda block: sealed(block, origin),
            self._upstream.interrupted,
        )
        room = Room(request.max_characters)
        body = body_of(request, details, accepted, origin)
        async with self._upstream.events("/messages", body) as events:
            async for event in events:
                for delta in self._upstream.reading(room.read(reader, event)):
                    yield delta
                if reader.finished:
                    await events.end()
                    break
            whole = events.done
        if not reader.ended:
            if not whole:
                raise self._upstream.unended("a stop reason", events)
            for delta in reader.close():
                yield delta
        for delta in reader.end():
            yield delta

    async def _details_of(self, model: str) -> Details:
        """Return what the server says about a model. It is asked until the first answer of the model."""
        if model not in self._details:
            entry = await detail(self._upstream, f"/v1/models/{quote(model, safe='')}")
            return read_details(entry)
        return self._details[model]

    def window(self, model: str) -> int | None:
        """See `models.base.HasWindow`. Known after the first answer of a model, if its server tells it."""
        return self._upstream.window(model) or self._details.get(model, UNKNOWN).window

    def check_input(self, items: Sequence[Item]) -> None:
        """See `models.base.ChecksInput`."""
        check_parts(items, block_of_part, "Anthropic's Messages", TAKES)

    def check_settings(self, settings: Mapping[str, Any]) -> None:
        """See `models.base.ChecksSettings`."""
        check_settings(settings)

    async def server(self, model: str) -> ServerReport:
        """See `models.base.HasServer`."""
        report = await probe(self._upstream, model)
        takes = report.served and report.tools is None  # the API has tools for every model
        return replace(report, tools=True) if takes else report

    async def aclose(self) -> None:
        """Close the upstream's connections. Idempotent."""
        await self._upstream.aclose()
