"""Models of another server's Responses API."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import openai

from agent_kernel.models.base import PASSED_ON, ModelRequest
from agent_kernel.models.conversation import CallIds, is_passed
from agent_kernel.models.earlier import rendered
from agent_kernel.models.offered import Offered
from agent_kernel.models.probing.probe import probe
from agent_kernel.models.reading.responses_stream import ResponsesReader
from agent_kernel.models.reading.room import Room
from agent_kernel.models.reading.whole_body import Lenient
from agent_kernel.models.responses_input import LABELS, translate, wrap
from agent_kernel.models.server_report import ServerReport
from agent_kernel.models.upstream import Upstream
from agent_kernel.protocol.deltas import Compaction, ModelDelta, Notice, Usage, made_upstream

AS_FUNCTION = (
    "The model at {} gets the shell and other native tools as functions, because only OpenAI's servers are"
    " known to have them. To choose functions without this notice, use responses/NAME."
)

NO_END = "The model's server sent no closing event. What it sent before is the answer."

NOT_READ = (
    "The model's server refused the items of tools that this server does not have, so the model does not get"
    " them."
)

_LABEL = re.compile(rf"\b({'|'.join((*LABELS, *PASSED_ON))})\b")


@dataclass(frozen=True)
class Dialect:
    """The features that an upstream is assumed to support until it refuses them."""

    native_tools: bool
    """Offer hosted tools like `shell` in their native form, otherwise as functions."""
    encrypted_reasoning: bool | None
    """Request it; models without reasoning refuse the option. None: request it if the client does."""
    compaction: bool
    """Send `context_management`."""
    send_reasoning_back: bool = True
    labels: bool = True
    """Pass on `PASSED_ON` of the request, and `LABELS` of its items."""
    others: bool = True
    """Pass on items that this server has no tool for."""

    def without(self, error: openai.APIStatusError) -> Dialect | None:
        """Return the dialect without the feature that `error` refuses, or None if it refuses none of them."""
        param, text = str(getattr(error, "param", None) or ""), str(error).lower()
        if self.labels and _LABEL.search(f"{param} {text}"):
            return replace(self, labels=False)
        if self.compaction and "context_management" in param + text:
            return replace(self, compaction=False)
        if "encrypted" in text or param.startswith("include"):
            if self.encrypted_reasoning is not False and "not supported" in text:
                return replace(self, encrypted_reasoning=False)
            return replace(self, send_reasoning_back=False) if self.send_reasoning_back else None
        if self.native_tools and ("shell" in text or "tool" in text or param.startswith("tools")):
            return replace(self, native_tools=False)
        return None


class ResponsesModel:
    """The models of one upstream. `native`: start with the features that only OpenAI's API has.

    `native_shell`: offer the shell in its native form; None: as `native` says. `announce`: yield a `Notice`
    with the first answer of a model whose upstream got a function instead.
    A feature that the upstream refuses (400 or 422, before anything is streamed) is left out in a second
    attempt, and in later requests for that model. Nothing is stored upstream: each request has the whole
    conversation. It `Compacts` if the upstream does.
    """

    def __init__(
        self, upstream: Upstream, *, native: bool, native_shell: bool | None = None, announce: bool = False
    ) -> None:
        self._upstream = upstream
        tools = native if native_shell is None else native_shell
        self._first = Dialect(native_tools=tools, encrypted_reasoning=native or None, compaction=native)
        self._announce = announce and not tools
        self._announced: set[str] = set()
        self._learned: dict[str, Dialect] = {}
        self._not_compacted: set[str] = set()

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelDelta, None]:
        """Stream one step; see `models.base.Model.stream`."""
        first = self._learned.get(request.model, self._first)
        dialect: Dialect | None = first
        while dialect is not None:
            try:
                answer = self._upstream.persistently(partial(self._attempt, request, dialect))
                async with aclosing(answer) as deltas:
                    async for delta in deltas:
                        yield delta
            except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
                dialect = dialect.without(error) or _without_others(dialect, request)
                if dialect is None:
                    raise self._upstream.refusal(error) from None
            else:
                for notice in self._announcement(request):
                    yield notice
                if first.others and not dialect.others:
                    yield Notice(NOT_READ)
                return

    def _announcement(self, request: ModelRequest) -> Iterator[Notice]:
        """Yield the notice about the shell's form, once for each model."""
        offered = Offered(request.tools, native=True)
        if not self._announce or request.model in self._announced or not offered.has_native_forms():
            return
        self._announced.add(request.model)
        yield Notice(AS_FUNCTION.format(self._upstream.address))

    async def _attempt(self, request: ModelRequest, dialect: Dialect) -> AsyncGenerator[ModelDelta, None]:
        origin = self._upstream.origin(request.model)
        reader = ResponsesReader(
            CallIds(request.input),
            Offered(request.tools, native=dialect.native_tools),
            lambda item_id, blob: wrap(item_id, origin, blob),
            self._upstream.failure,
            request.settings.get("max_output_tokens"),
            origin,
        )
        compacted, room = False, Room(request.max_characters)
        async with self._upstream.events("/responses", self._body(request, dialect)) as events:
            self._learned[request.model] = replace(dialect, send_reasoning_back=True)  # it was accepted
            async for event in events:
                for delta in self._upstream.reading(room.read(reader, Lenient(event))):
                    compacted = compacted or isinstance(delta, Compaction)
                    if isinstance(delta, Usage) and not compacted:
                        self._check_compaction(request, delta)
                    yield delta
                if reader.finished:
                    await events.end()
                    return
            whole = events.done
        if whole:
            for delta in self._upstream.reading(reader.close()):
                yield delta
            yield Notice(NO_END)
            return
        raise self._upstream.unended("a closing event", events)

    def _check_compaction(self, request: ModelRequest, usage: Usage) -> None:
        """Stop asking for compaction if the upstream did none for an input far above the threshold."""
        threshold = request.compact_threshold
        if threshold is not None and usage.input_tokens > 2 * threshold:
            self._learned[request.model] = replace(self._learned[request.model], compaction=False)

    def compacts(self, model: str) -> bool:
        """Return whether the upstream compacts; see `Compacts`."""
        return self._learned.get(model, self._first).compaction

    async def compact(self, request: ModelRequest) -> tuple[Compaction, Usage] | None:
        """See `Compacts`. Uses `/responses/compact` if the upstream has it."""
        if request.model in self._not_compacted:
            return None
        async with aclosing(self._upstream.persistently(partial(self._compact, request))) as answers:
            async for answer in answers:
                return answer
        return None

    async def _compact(self, request: ModelRequest) -> AsyncGenerator[tuple[Compaction, Usage], None]:
        dialect, origin = self._learned.get(request.model, self._first), self._upstream.origin(request.model)
        body = {name: self._body(request, dialect).get(name) for name in ("model", "input", "instructions")}
        try:
            answer = await self._upstream.client.responses.compact(**_given(body))
        except openai.APIStatusError as error:
            if error.status_code in (404, 405, 501):
                self._not_compacted.add(request.model)
            elif error.status_code not in (400, 422):
                raise self._upstream.refusal(error) from None
            return
        except openai.OpenAIError as error:
            raise self._upstream.refusal(error) from None
        used: Any = answer.usage  # some servers leave it out
        usage = Usage(used.input_tokens, used.output_tokens) if used else Usage(0, 0)
        for item in answer.output or ():
            if item.type == "compaction":
                yield Compaction(wrap(item.id, origin, item.encrypted_content)), usage
                return

    def _body(self, request: ModelRequest, dialect: Dialect) -> dict[str, Any]:
        choice = request.settings.get("tool_choice")
        offered = Offered(request.tools, native=dialect.native_tools, choice=choice)
        origin = self._upstream.origin(request.model)
        tools = offered.specs()
        body: dict[str, Any] = {
            "model": request.model,
            "input": rendered(
                request.input,
                ("responses", offered.naming, origin, dialect),
                partial(
                    translate,
                    offered=offered,
                    origin=origin if dialect.send_reasoning_back else None,
                    maker=origin,
                    labels=dialect.labels,
                    others=dialect.others,
                ),
            ),
            "instructions": request.instructions,
            "store": False,
            "stream": True,
            **_settings(request.settings, offered, dialect),
        }
        if tools:
            body["tools"] = tools
        asked = dialect.encrypted_reasoning
        include = (
            ["reasoning.encrypted_content"]
            if (request.encrypted_reasoning if asked is None else asked)
            else []
        )
        include += ["message.output_text.logprobs"] if request.logprobs else []
        body["include"] = include or None
        if request.compact_threshold is not None and dialect.compaction:
            limit = {"type": "compaction", "compact_threshold": request.compact_threshold}
            body["context_management"] = [limit]
        return _given(body)

    def passes_items(self, model: str) -> bool:
        """See `models.base.PassesItems`."""
        return self._learned.get(model, self._first).others

    def window(self, model: str) -> int | None:
        """See `models.base.HasWindow`."""
        return self._upstream.window(model)

    async def server(self, model: str) -> ServerReport:
        """See `models.base.HasServer`."""
        return await probe(self._upstream, model)

    async def aclose(self) -> None:
        """Close the upstream's connections. Idempotent."""
        await self._upstream.aclose()


def _without_others(dialect: Dialect, request: ModelRequest) -> Dialect | None:
    """Return the dialect for an upstream that may have refused an item that it does not know."""
    if not dialect.others or not any(is_passed(item) or made_upstream(item) for item in request.input):
        return None
    return replace(dialect, others=False)


def _given(body: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if value is not None}


def _settings(settings: Mapping[str, Any], offered: Offered, dialect: Dialect) -> dict[str, Any]:
    own = {name: value for name, value in settings.items() if name not in PASSED_ON}
    if "tool_choice" in own:
        own["tool_choice"] = offered.choice(own["tool_choice"])
    passed_on = {name: settings[name] for name in PASSED_ON if name in settings}
    if passed_on and dialect.labels:
        return own | passed_on
    return own
