"""Answers of the scripted model in the shapes of the Messages API."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Sequence
from typing import Any

from agent_kernel.models.base import ModelRequest
from agent_kernel.models.script import load_packaged
from agent_kernel.models.scripted import ScriptedModel
from agent_kernel.protocol.calls import CallDone
from agent_kernel.protocol.deltas import ModelDelta, ReasoningDelta, TextDelta
from tests.models.anthropic.shapes import Block, Event, stream, text, thinking, use

Json = dict[str, Any]


class Player:
    """Plays the packaged scripts to whoever sends a conversation with the shell."""

    def __init__(self) -> None:
        self._model = ScriptedModel(load_packaged())
        self._numbers = itertools.count(1)

    def __call__(self, request: Json) -> Sequence[Event]:
        blocks = [self._block(list(said)) for said in asyncio.run(self._said(request))]
        calls = any(block["type"] == "tool_use" for block in blocks)
        return stream(*blocks, stop="tool_use" if calls else "end_turn")

    async def _said(self, request: Json) -> list[list[ModelDelta]]:
        items = [item for message in request["messages"] for item in _items(message)]
        said = [each async for each in self._model.stream(ModelRequest("demo", items))]
        kinds = (ReasoningDelta, TextDelta, CallDone)
        told = [each for each in said if isinstance(each, kinds)]
        return [list(group) for _, group in itertools.groupby(told, key=_group)]

    def _block(self, said: list[Any]) -> Block:
        if isinstance(said[0], CallDone):
            return use(f"toolu_{next(self._numbers)}", "shell", {"commands": list(said[0].parts)})
        words = "".join(each.text for each in said)
        return thinking(words) if isinstance(said[0], ReasoningDelta) else text(words)


def _group(delta: Any) -> Any:
    return delta.call_id if isinstance(delta, CallDone) else type(delta)


def _items(message: Json) -> list[Json]:
    items: list[Json] = []
    for block in message["content"]:
        match block["type"]:
            case "text":
                items.append({"type": "message", "role": message["role"], "content": block["text"]})
            case "tool_use":
                items.append({"type": "shell_call", "call_id": block["id"], "action": block["input"]})
            case "tool_result":
                output = json.loads(block["content"])
                items.append({"type": "shell_call_output", "call_id": block["tool_use_id"], "output": output})
    return items
