"""Models of a Chat Completions endpoint, translated both ways."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any

import openai

from agent_kernel.models.base import Item, ModelRequest
from agent_kernel.models.chat_input import translate
from agent_kernel.models.chat_parts import check_parts
from agent_kernel.models.conversation import CallIds
from agent_kernel.models.earlier import rendered
from agent_kernel.models.offered import Offered
from agent_kernel.models.probing.probe import probe
from agent_kernel.models.reading.chat_stream import ChatReader
from agent_kernel.models.reading.room import Room
from agent_kernel.models.server_report import ServerReport
from agent_kernel.models.upstream import Upstream
from agent_kernel.protocol.deltas import ModelDelta, Notice


class ChatModel:
    """The models of one upstream.

    This server's tools are offered as functions; the client's functions are passed through. Usage is
    requested until the server refuses that option.
    """

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._ask_usage = True

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelDelta, None]:
        """Stream one step; see `models.base.Model.stream`."""
        while True:
            try:
                answer = self._upstream.persistently(lambda: self._attempt(request))
                async with aclosing(answer) as deltas:
                    async for delta in deltas:
                        yield delta
            except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
                if not self._ask_usage or "stream_options" not in str(error):
                    raise self._upstream.refusal(error) from None
                self._ask_usage = False
            else:
                return

    async def _attempt(self, request: ModelRequest) -> AsyncGenerator[ModelDelta, None]:
        reader = ChatReader(CallIds(request.input), Offered(request.tools, native=False))
        room = Room(request.max_characters)
        async with self._upstream.events("/chat/completions", self._body(request)) as chunks:
            async for chunk in chunks:
                for delta in self._upstream.reading(room.read(reader, chunk)):
                    yield delta
                if room.is_full:
                    break
            whole = chunks.done
        if not reader.finished:
            if not whole:
                raise self._upstream.unended("a finish reason", chunks)
            for delta in reader.close():
                yield delta
            yield Notice("The model's server gave no reason for the end of the answer.")
        for delta in reader.end():
            yield delta

    def _body(self, request: ModelRequest) -> dict[str, Any]:
        offered = Offered(request.tools, native=False, choice=request.settings.get("tool_choice"))
        tools = [_tool(function) for function in offered.functions()]
        body: dict[str, Any] = {
            "model": request.model,
            "messages": rendered(
                request.input,
                ("chat", offered.naming),
                partial(translate, instructions=None, offered=offered),
                translate((), instructions=request.instructions, offered=offered),
            ),
            "stream": True,
            **self._settings(request.settings),
        }
        if request.logprobs:
            body["logprobs"] = True
            body |= {name: n for name in ("top_logprobs",) if (n := request.settings.get(name))}
        if tools:
            body["tools"] = tools
            body.update(_tool_settings(request.settings, offered))
        if self._ask_usage:
            body["stream_options"] = {"include_usage": True}
        return body

    def _settings(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        limit = "max_completion_tokens" if self._upstream.is_openai else "max_tokens"
        reasoning, text = settings.get("reasoning") or {}, settings.get("text") or {}
        translated = {
            "temperature": settings.get("temperature"),
            "top_p": settings.get("top_p"),
            limit: settings.get("max_output_tokens"),
            "reasoning_effort": reasoning.get("effort"),
            "verbosity": text.get("verbosity"),
            "response_format": _format(text.get("format") or {}),
        }
        return {name: value for name, value in translated.items() if value is not None}

    def window(self, model: str) -> int | None:
        """See `models.base.HasWindow`."""
        return self._upstream.window(model)

    def check_input(self, items: Sequence[Item]) -> None:
        """See `models.base.ChecksInput`."""
        check_parts(items)

    async def server(self, model: str) -> ServerReport:
        """See `models.base.HasServer`."""
        return await probe(self._upstream, model)

    async def aclose(self) -> None:
        """Close the upstream's connections. Idempotent."""
        await self._upstream.aclose()


def _tool(function: Mapping[str, Any]) -> dict[str, Any]:
    names = ("name", "description", "parameters", "strict")
    return {"type": "function", "function": {n: function[n] for n in names if function.get(n) is not None}}


def _tool_settings(settings: Mapping[str, Any], offered: Offered) -> dict[str, Any]:
    translated: dict[str, Any] = {}
    if settings.get("parallel_tool_calls") is not None:
        translated["parallel_tool_calls"] = settings["parallel_tool_calls"]
    match offered.choice(settings.get("tool_choice")):
        case str(choice):
            translated["tool_choice"] = choice
        case {"type": "function", "name": name}:
            translated["tool_choice"] = {"type": "function", "function": {"name": name}}
    return translated


def _format(wanted: Mapping[str, Any]) -> dict[str, Any] | None:
    match wanted.get("type"):
        case "json_object":
            return {"type": "json_object"}
        case "json_schema":
            names = ("name", "schema", "strict", "description")
            return {"type": "json_schema", "json_schema": {n: wanted[n] for n in names if wanted.get(n)}}
        case _:
            return None
