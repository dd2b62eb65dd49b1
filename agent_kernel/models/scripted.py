"""A model that plays a script (see `script`); the conversation determines the next step."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import replace

from agent_kernel.errors import MalformedModelOutput, OutOfScript
from agent_kernel.models.base import Item, ModelRequest
from agent_kernel.models.conversation import kind, last_user_message
from agent_kernel.models.script import (
    PLACEHOLDER,
    Move,
    Say,
    Script,
    ScriptedCall,
    ScriptedTurn,
    Think,
)
from agent_kernel.protocol import ids
from agent_kernel.protocol.calls import CallDelta, is_rejected
from agent_kernel.protocol.deltas import ItemBreak, ModelDelta, ReasoningDelta, TextDelta
from agent_kernel.tools.base import Tool
from agent_kernel.tools.catalogue import catalogue

_WORD = re.compile(r"\s*\S+\s?|\s+")
_SHOWN = 12  # turns that an error lists
_WIDTH = 60  # characters of each


class ScriptedModel:
    """A model that plays a script. The last user message selects the turn, the calls since then the step."""

    def __init__(self, script: Script) -> None:
        self._script = script

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelDelta, None]:
        """Stream one step, word by word; see `models.base.Model.stream`.

        Raises `OutOfScript` for a message that no turn matches, and `MalformedModelOutput` if the script
        quotes something that the commands did not print.
        """
        said, since = last_user_message(request.input)
        turn = self._find(said)
        paragraph = 0
        for move in _step(turn, sum(map(_is_call, since))):
            for delta in _deltas(move, since, paragraph):
                yield delta
                await asyncio.sleep(0)  # let the delta be shown before the next
            paragraph = paragraph + 1 if isinstance(move, Think) else 0

    def _find(self, said: str) -> ScriptedTurn:
        turns = self._script.turns
        plain = said.replace("@", "")  # a script need not know that a file is mentioned: `@sales.csv`
        for asked in (said, plain):
            for turn in turns:
                if turn.is_exactly(asked):
                    return turn
        for asked in (said, plain):
            for turn in turns:
                if turn.matches(asked):
                    return turn
        known = [f"“{_short(turn.when)}”" for turn in turns[:_SHOWN]]
        more = f" and {len(turns) - _SHOWN} more" if len(turns) > _SHOWN else ""
        raise OutOfScript(
            f"The scripted model ({self._script.name}) has no answer for “{_short(said)}”. "
            f"It knows: {', '.join(known)}{more}.",
            hint="Send one of these, or set AGENT_KERNEL_MODEL to a real model.",
        )

    async def aclose(self) -> None:
        """Do nothing: there is no connection."""


def _step(turn: ScriptedTurn, calls_made: int) -> Sequence[Move]:
    for step in turn.steps:
        if calls_made <= 0:
            return step
        calls_made -= sum(isinstance(move, ScriptedCall) for move in step)
    return ()


def _deltas(move: Move, since: Sequence[Item], paragraph: int) -> Iterator[ModelDelta]:
    match move:
        case Think(text):
            yield from (ReasoningDelta(word, part=paragraph) for word in _WORD.findall(text))
        case Say():
            yield from (TextDelta(word) for word in _WORD.findall(_quoted(move, _printed(since))))
            yield ItemBreak()
        case ScriptedCall():
            yield from _call(move)


def _call(move: ScriptedCall) -> Iterator[ModelDelta]:
    tool, call_id = _tool(move.tool), ids.call_id()
    call = tool.read_arguments(call_id, move.arguments)
    for part, text in enumerate(call.parts):
        for word in _WORD.findall(text) or [""]:
            yield CallDelta(tool, call_id, word, part=part, name=move.name, labels=call.labels)
    if not tool.by_client:
        yield replace(call, name=move.name)


def _is_call(item: Item) -> bool:
    return catalogue().of_call(kind(item)) is not None and not is_rejected(item)


def _tool(kind: str) -> Tool:
    tool = catalogue().get(kind)
    if tool is None:
        raise MalformedModelOutput(
            f"The script calls the tool {kind!r}, which is not installed.",
            hint=f"Installed tools: {', '.join(catalogue().types)}.",
        )
    return tool


def _printed(since: Sequence[Item]) -> str:
    """Join the outputs of this turn's commands and functions, each starting on a new line."""
    texts: list[str] = []
    for item in since:
        tool = catalogue().of_output(kind(item))
        texts += tool.printed(item) if tool is not None else ()
    return "".join(text if not text or text.endswith("\n") else text + "\n" for text in texts)


def _quoted(say: Say, stdout: str) -> str:
    def replace(match: re.Match[str]) -> str:
        if match[1] is None:
            return match[0][0]
        pattern = say.quote[match[1]]
        found = list(pattern.finditer(stdout))
        if not found:
            raise MalformedModelOutput(
                f"The script quotes “{match[1]}” from what the commands of this turn printed, but nothing "
                f"there matches {pattern.pattern!r}.",
                hint="Look at the output above: a command failed, or the script does not fit the data.",
            )
        return found[-1][1 if pattern.groups else 0] or ""

    return PLACEHOLDER.sub(replace, say.text)


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _WIDTH else text[: _WIDTH - 1] + "…"
