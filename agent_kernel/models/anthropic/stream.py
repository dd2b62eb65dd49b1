"""The translation of a stream of the Messages API into deltas.

A message is a list of blocks, written one after the other: `content_block_start`, `content_block_delta`,
`content_block_stop`. Then `message_delta` has the reason for its end, and `message_stop` ends the stream.
https://docs.anthropic.com/en/docs/build-with-claude/streaming
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from agent_kernel.errors import ModelError
from agent_kernel.models.anthropic.computer import SET_NAME, with_action
from agent_kernel.models.conversation import CallIds
from agent_kernel.models.offered import Offered
from agent_kernel.models.reading.finished_calls import read_calls
from agent_kernel.models.reading.lenient import tokens
from agent_kernel.models.reading.surrogates import Halves
from agent_kernel.protocol.calls import CallDelta, RejectedCall
from agent_kernel.protocol.deltas import (
    ItemBreak,
    ModelDelta,
    Notice,
    ReasoningDelta,
    ReasoningOpaque,
    RefusalDelta,
    TextDelta,
    Truncated,
    Usage,
)
from agent_kernel.tools.arguments import is_object, is_whole
from agent_kernel.tools.base import Tool
from agent_kernel.tools.client import CLIENT_FUNCTION
from agent_kernel.tools.computer.tool import COMPUTER
from agent_kernel.tools.live import LiveCall

Deltas = Iterator[ModelDelta]
Json = Mapping[str, Any]

REFUSED = "The model's provider stopped this answer, because it may violate the provider's policies."
PAUSED = "The model paused its turn. Ask it to continue."
FULL = "The model's context window is full, so it stopped in the middle of its answer."

_WRITTEN = ("text", "thinking", "partial_json")
"""The fields of blocks and their deltas that hold what the model wrote."""


@dataclass
class _Block:
    """The block that the upstream is writing."""

    index: int
    kind: str
    written: list[str] = field(default_factory=list)
    signature: str = ""


@dataclass
class _Use(_Block):
    """A block that calls a tool. `live` is set if it is one of this server."""

    call_id: str = ""
    name: str = ""
    given_id: str = ""
    tool: Tool | None = None
    live: LiveCall | None = None
    whole: Any = None
    """Its arguments, if the server sent them at once."""
    silent: bool = False
    """Whether its id came before: it may be the same call, so nothing is shown before it is whole."""
    action: str | None = None
    """The name of an action of the computer's toolset."""

    @property
    def arguments(self) -> str:
        """The arguments so far, as JSON text."""
        text = "".join(self.written) or (json.dumps(self.whole) if self.whole else "")
        return text if self.action is None else with_action(self.action, text)


class MessagesReader:
    """The reader of one answer. `ended` is true once the reason for its end is known, `finished` at its end.

    `offered` maps functions to tools of this server. `seal` makes encrypted content of a block of thinking.
    `interrupted` makes the error for an answer that cannot be read. A call is passed on when its block ends,
    unless its arguments are not whole: then the reason for the end says whether they were cut off.
    """

    def __init__(
        self,
        call_ids: CallIds,
        offered: Offered,
        seal: Callable[[dict[str, Any]], str],
        interrupted: Callable[[str], ModelError],
    ) -> None:
        self.ended = False
        self.finished = False
        self._call_ids = call_ids
        self._offered = offered
        self._seal = seal
        self._interrupted = interrupted
        self._halves = Halves()
        self._open: _Block | None = None
        self._begun: set[int] = set()  # indices of blocks
        self._partial: _Use | None = None  # a call whose block ended before its arguments
        self._sent: dict[str, set[tuple[str, str]]] = {}  # names and arguments of finished calls, by id
        self._usage: dict[str, Any] = {}

    def read(self, event: Json) -> Deltas:
        """Yield the deltas of one event. Raises `UpstreamInterrupted` for blocks in disorder."""
        match event.get("type"):
            case "message_start":
                self._use(event["message"].get("usage"))
            case "content_block_start":
                yield from self._start(event["index"], event["content_block"])
            case "content_block_delta":
                yield from self._delta(self._block(event["index"]), event["delta"])
            case "content_block_stop":
                if self._open is not None and self._open.index == event["index"]:
                    yield from self._stop()
            case "message_delta":
                self._use(event.get("usage"))
                yield from self._end(event["delta"])
            case "message_stop":
                self.finished = True
            case "message":
                yield from self._message(event)

    def characters(self, event: Json) -> int:
        """Return how much text an event adds."""
        match event.get("type"):
            case "content_block_delta":
                return _characters(event["delta"])
            case "content_block_start":
                return _characters(event["content_block"])
            case "message":
                return sum(map(_characters, event["content"]))
        return 0

    def stop(self, reason: str) -> Deltas:
        """Yield what is still open, for an answer that is not read to its end."""
        if not self.ended:
            yield from self._finish(reason)
        self.finished = True

    def close(self) -> Deltas:
        """Yield what is still open, for an answer that ended without a reason."""
        yield from self._finish(None)

    def end(self) -> Deltas:
        """Yield what is known only at the end of the stream: the usage."""
        if self._usage:
            yield _usage(self._usage)

    def _use(self, usage: Json | None) -> None:
        """Note the tokens: those of the last event count."""
        self._usage |= {name: value for name, value in (usage or {}).items() if value is not None}

    def _block(self, index: int) -> _Block:
        if self._open is None or self._open.index != index:
            raise self._interrupted(f"it wrote to block {_number(index)}, which is not open")
        return self._open

    def _start(self, index: int, content: Json) -> Deltas:
        if index in self._begun:
            raise self._interrupted(f"it began block {_number(index)} twice")
        yield from self._stop()  # the block before it had no end
        yield from self._end_partial(None)
        self._begun.add(index)
        kind = content["type"]
        if kind == "tool_use":
            self._open = self._call(index, content)
        elif kind == "redacted_thinking":
            self._open = _Block(index, kind)
            yield ReasoningOpaque(self._seal({"type": kind, "data": _text(content, "data")}))
            yield ItemBreak()
        else:
            self._open = _Block(index, kind, signature=content.get("signature") or "")
            if kind in ("text", "thinking") and content.get(kind):
                yield from self._wrote(self._open, kind, _text(content, kind))

    def _call(self, index: int, content: Json) -> _Use:
        given_id, name = _text(content, "id"), _text(content, "name")
        silent = given_id in self._sent
        own, name = name, COMPUTER.type if content.get("toolset_name") == SET_NAME else name
        use = _Use(index, "tool_use", call_id=self._call_ids.unused(given_id), name=name, given_id=given_id)
        use.action = own if own != name else None
        use.tool, use.whole, use.silent = self._offered.called(name), content.get("input"), silent
        if use.tool is not None and not silent:
            use.live = use.tool.live_call(use.call_id)
            use.live.name = name if use.tool.repeated else None
        return use

    def _delta(self, block: _Block, delta: Json) -> Deltas:
        kind = str(delta["type"]).removesuffix("_delta")
        if kind == "signature":
            block.signature += _text(delta, "signature")
        elif kind in ("text", "thinking"):
            yield from self._wrote(block, kind, _text(delta, kind))
        elif kind == "input_json" and isinstance(block, _Use):
            yield from self._show(block, self._halves.joined(block.index, _text(delta, "partial_json")))

    def _wrote(self, block: _Block, kind: str, text: str) -> Deltas:
        if text := self._halves.joined(block.index, text):
            block.written.append(text)
            yield TextDelta(text) if kind == "text" else ReasoningDelta(text)

    def _show(self, use: _Use, text: str) -> Deltas:
        """Add a piece to a call's arguments, and show it."""
        if not text:
            return
        use.written.append(text)
        if use.live is not None:
            yield from use.live.write(text)
        elif not use.silent:
            if len(use.written) == 1:
                yield ItemBreak()
            yield CallDelta(CLIENT_FUNCTION, use.call_id, text, name=use.name)

    def _stop(self) -> Deltas:
        """End the open block."""
        block, self._open = self._open, None
        if block is None:
            return
        if rest := self._halves.rest(block.index):
            block.written.append(rest)
            if block.kind in ("text", "thinking"):
                yield TextDelta(rest) if block.kind == "text" else ReasoningDelta(rest)
        if isinstance(block, _Use):
            if is_whole(block.arguments):
                yield from self._whole(block, block.arguments)
            else:
                self._partial = block
        elif block.kind == "thinking":
            if block.signature:
                thought = {"type": "thinking", "thinking": "".join(block.written)}
                yield ReasoningOpaque(self._seal({**thought, "signature": block.signature}))
            yield ItemBreak()

    def _end_partial(self, cut_off: str | None) -> Deltas:
        """Read the call whose arguments are not whole. If they were cut off, its item becomes incomplete."""
        use, self._partial = self._partial, None
        if use is None:
            return
        if cut_off is None:
            yield from self._whole(use, use.arguments or "{}")
        elif use.tool is None and not use.written:
            yield ItemBreak()
            yield CallDelta(CLIENT_FUNCTION, use.call_id, "", name=use.name)

    def _whole(self, use: _Use, arguments: str) -> Deltas:
        sent = self._sent.setdefault(use.given_id, set())
        if (use.name, arguments) in sent:
            return
        sent.add((use.name, arguments))
        whole = (use.call_id, use.name, arguments)
        if use.tool is not None or use.silent or not use.written:
            yield from read_calls(use.tool, whole, self._call_ids.another)
        elif not is_object(arguments):  # too late to correct what was streamed
            yield RejectedCall(*whole, "its arguments are not a JSON object")
        if use.tool is None:
            yield ItemBreak()

    def _end(self, delta: Json) -> Deltas:
        reason = delta.get("stop_reason")
        if reason is None or self.ended:
            return
        match reason:
            case "max_tokens":
                yield from self._finish("max_output_tokens")
            case "model_context_window_exceeded":
                yield from self._finish("max_output_tokens")
                yield Notice(FULL)
            case "refusal":
                yield from self._finish("content_filter")
                said = (delta.get("stop_details") or {}).get("explanation")
                yield RefusalDelta(said if isinstance(said, str) and said else REFUSED)
            case _:
                yield from self._finish(None)
                if reason == "pause_turn":
                    yield Notice(PAUSED)

    def _finish(self, cut_off: str | None) -> Deltas:
        """Yield what is still open. `cut_off` is why the answer is incomplete, None if it is complete."""
        if self.ended:
            return
        self.ended = True
        if cut_off and isinstance(self._open, _Use):
            self._open, self._partial = None, self._open
        yield from self._stop()
        yield from self._end_partial(cut_off)
        if cut_off:
            yield Truncated(cut_off)

    def _message(self, message: Json) -> Deltas:
        """Read an answer that is one body although a stream was asked for."""
        self._use(message.get("usage"))
        for index, content in enumerate(message["content"]):
            yield from self._start(index, content)
            yield from self._stop()
        yield from self._end({"stop_reason": "end_turn", **message})
        self.finished = True


def _text(fields: Json, name: str) -> str:
    value = fields[name]
    if not isinstance(value, str):
        raise TypeError(f"{name} is not a text")
    return value


def _number(index: object) -> str:
    return str(index) if isinstance(index, int) and abs(index) < 10**6 else "of another number"


def _characters(fields: Json) -> int:
    texts = [fields.get(name) for name in _WRITTEN]
    given = fields.get("input")
    return sum(len(each) for each in texts if isinstance(each, str)) + (
        len(json.dumps(given)) if given else 0
    )


def _usage(given: Json) -> Usage:
    """Return the tokens. The API counts those read from the cache and written to it apart from the others."""
    details = given.get("output_tokens_details")
    cached = tokens(given.get("cache_read_input_tokens"))
    written = tokens(given.get("cache_creation_input_tokens"))
    return Usage(
        tokens(given.get("input_tokens")) + cached + written,
        tokens(given.get("output_tokens")),
        cached_tokens=cached,
        reasoning_tokens=tokens(details.get("thinking_tokens")) if isinstance(details, Mapping) else 0,
        service_tier=_TIERS.get(str(given.get("service_tier"))),
    )


_TIERS = {"standard": "default", "priority": "priority"}
"""How a request was served, in the words of the Responses API."""
