"""A model that says what a cassette has. Its calls really run; only its words are recorded."""

from __future__ import annotations

import asyncio
import difflib
import re
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from agent_kernel.cassettes.cassette import (
    CELL_KEY,
    PROMPT_KEY,
    Cassette,
    RecordedCell,
    RecordedStep,
    Said,
    SaidCall,
    SaidRejected,
    SaidText,
    cell_name,
    digest,
    first_words,
)
from agent_kernel.errors import MalformedModelOutput, OutOfScript
from agent_kernel.models.base import Item, ModelRequest
from agent_kernel.models.conversation import kind, last_user_message, text_of
from agent_kernel.protocol import ids
from agent_kernel.protocol.calls import CallDelta, RejectedCall
from agent_kernel.protocol.deltas import (
    ItemBreak,
    MessagePhase,
    ModelDelta,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    Truncated,
)
from agent_kernel.tools.catalogue import catalogue

_PIECE = re.compile(r"\s*\S+\s?|\s+")


class ReplayModel:
    """Plays a cassette.

    The cell comes from the request, or from the last user message; the step from the calls made since.
    """

    def __init__(self, path: Path, cassette: Cassette) -> None:
        self._path = path
        self._cassette = cassette

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelDelta, None]:
        """Stream one step, word by word; see `models.base.Model.stream`.

        Raises `OutOfScript` for a prompt that the cassette does not have, and `MalformedModelOutput` for a
        call that cannot be made here.
        """
        said, since = last_user_message(request.input)
        cell = self._find(request, said)
        number = sum(_counts(item) for item in since)
        for delta in _deltas(_step(cell, number)):
            yield delta
            await asyncio.sleep(0)  # let the delta be shown before the next
        if cell.ended and _is_last(cell, number):
            yield Truncated(cell.ended)

    def _find(self, request: ModelRequest, said: str) -> RecordedCell:
        given = request.settings.get("client_metadata")
        keys: Mapping[str, Any] = given if isinstance(given, Mapping) else {}
        cell, prompt = str(keys.get(CELL_KEY) or ""), str(keys.get(PROMPT_KEY) or digest(said))
        again = max(0, sum(_asks(item, prompt) for item in request.input) - 1)
        found = self._cassette.find(cell, prompt, again)
        if found is not None:
            return found
        name = cell_name(cell, first_words(said))
        raise OutOfScript(
            f"The cassette {self._path.name} has no answer for the cell {name}. {self._nearest(cell, said)}",
            hint="Record it again: agent-kernel record --update NOTEBOOK",
        )

    def _nearest(self, cell: str, said: str) -> str:
        for each in self._cassette.cells:
            if cell and each.cell == cell:
                return f"It was recorded with another prompt, which began “{each.asks}”."
        words = {each.asks: each for each in self._cassette.cells}
        near = difflib.get_close_matches(first_words(said), list(words)[:500], n=1, cutoff=0.5)
        if near:
            return f"The nearest that it has is {words[near[0]].name}."
        count = len(self._cassette.cells)
        return f"It has {count} cell{'' if count == 1 else 's'} with other prompts."

    async def aclose(self) -> None:
        """Do nothing: there is no connection."""


def _counts(item: Item) -> bool:
    return catalogue().of_call(kind(item)) is not None  # rejected calls too


def _asks(item: Item, prompt: str) -> bool:
    is_prompt = kind(item) == "message" and item.get("role") == "user"
    return is_prompt and digest(text_of(item.get("content"))) == prompt


def _calls(step: RecordedStep) -> int:
    return sum(isinstance(said, SaidCall | SaidRejected) for said in step)


def _step(cell: RecordedCell, calls_made: int) -> RecordedStep:
    for step in cell.steps:
        if calls_made <= 0:
            return step
        calls_made -= _calls(step)
    return ()


def _is_last(cell: RecordedCell, calls_made: int) -> bool:
    return calls_made >= sum(_calls(step) for step in cell.steps[:-1])


def _deltas(step: Sequence[Said]) -> Iterator[ModelDelta]:
    paragraph = 0
    for said in step:
        if isinstance(said, SaidText):
            yield from _text(said, paragraph)
        elif isinstance(said, SaidCall):
            yield from _call(said)
        else:
            yield RejectedCall(ids.call_id(), said.name, said.arguments, said.why)
        paragraph = paragraph + 1 if isinstance(said, SaidText) and said.kind == "reasoning" else 0


def _text(said: SaidText, paragraph: int) -> Iterator[ModelDelta]:
    pieces = _PIECE.findall(said.text)
    if said.kind == "reasoning":
        yield from (ReasoningDelta(piece, part=paragraph) for piece in pieces)
        return
    yield from (RefusalDelta(piece) if said.kind == "refusal" else TextDelta(piece) for piece in pieces)
    if said.phase:
        yield MessagePhase(said.phase)
    yield ItemBreak()


def _call(said: SaidCall) -> Iterator[ModelDelta]:
    tool, call_id = catalogue().of_call(f"{said.tool}_call"), ids.call_id()
    if tool is None or tool.by_client:
        raise MalformedModelOutput(
            f"The cassette calls the tool {said.tool[:60]!r}, which is not installed here.",
            hint=f"Installed tools: {', '.join(catalogue().types)}.",
        )
    try:
        arguments = tool.arguments_text({"type": tool.call_type, "call_id": call_id, **said.fields})
    except (KeyError, TypeError, ValueError, AttributeError):
        raise MalformedModelOutput(
            f"A call of the tool {said.tool!r} in the cassette has fields that the tool does not read.",
            hint="Record it again: agent-kernel record --update NOTEBOOK",
        ) from None
    call = tool.read_arguments(call_id, arguments)
    for part, text in enumerate(call.parts):
        for piece in _PIECE.findall(text) or [""]:
            yield CallDelta(tool, call_id, piece, part=part)
    yield call
