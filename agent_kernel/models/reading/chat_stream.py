"""The translation of a Chat Completions stream into deltas."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from agent_kernel.models.conversation import CallIds
from agent_kernel.models.offered import Offered
from agent_kernel.models.reading.finished_calls import read_calls
from agent_kernel.models.reading.lenient import parts_of, tier_of, tokens
from agent_kernel.models.reading.log_probabilities import Logprobs, logprobs_of
from agent_kernel.models.reading.surrogates import Halves
from agent_kernel.models.reading.whole_body import message_of, wrapped
from agent_kernel.protocol.calls import CallDelta, RejectedCall
from agent_kernel.protocol.deltas import (
    ItemBreak,
    ModelDelta,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    Truncated,
    Usage,
)
from agent_kernel.tools.arguments import as_text, is_whole, leading_objects
from agent_kernel.tools.client import CLIENT_FUNCTION
from agent_kernel.tools.live import LiveCall

Deltas = Iterator[ModelDelta]
Json = Mapping[str, Any]
_Words = TextDelta | ReasoningDelta | RefusalDelta

CUT_OFF = "it was cut off in the middle of its arguments, at the limit of output tokens"
_THOUGHTS = ("reasoning_content", "reasoning")
"""Names that servers use for reasoning text; the package's type has neither."""
_TEXTS = ("content", *_THOUGHTS, "refusal")
_TRUNCATED = {"length": "max_output_tokens", "content_filter": "content_filter"}


@dataclass
class _Call:
    given_id: str | None
    key: str
    """The id, or a substitute: a server may send one call twice, but it must not run twice."""
    name: str = ""
    arguments: list[str] = field(default_factory=list)
    live: LiveCall | None = None


class ChatReader:
    """The reader of one answer. `finished` is true once a finish reason has arrived.

    `offered` maps functions to tools of this server. Servers split calls differently, and some send the next
    call under the same index, so a call is passed on when it is complete. Only the first open call, if it is
    for a tool of this server, is streamed while it is written. Text that arrives in the middle of it (a stray
    newline from some servers' parsers) is held until the calls are complete.
    """

    def __init__(self, call_ids: CallIds, offered: Offered) -> None:
        self.finished = False
        self._call_ids = call_ids
        self._offered = offered
        self._open: dict[int, _Call] = {}
        self._live: LiveCall | None = None
        self._held: list[_Words] = []
        self._halves = Halves()
        self._text: list[str] = []
        self._usage: Usage | None = None
        self._tier: str | None = None
        self._sent: dict[str, set[tuple[str, str]]] = {}  # names and arguments of finished calls

    def read(self, chunk: Json) -> Deltas:
        """Yield the deltas of one chunk."""
        if (usage := chunk.get("usage")) is not None:
            self._usage = _usage(usage)
        self._tier = tier_of(chunk.get("service_tier")) or self._tier
        for choice in chunk.get("choices") or ():
            if (delta := choice.get("delta")) is not None:
                yield from self._said(delta, _logprobs(choice))
            if choice.get("message") is not None:
                yield from self._message(choice)
            if (reason := choice.get("finish_reason")) and not self.finished:
                yield from self._finish(_TRUNCATED.get(reason))

    def characters(self, chunk: Json) -> int:
        """Return how much text a chunk adds."""
        characters = 0
        for choice in chunk.get("choices") or ():
            if (delta := choice.get("delta")) is not None:
                characters += _characters(delta)
            if choice.get("message") is not None:
                characters += _characters(message_of(choice))
        return characters

    def close(self) -> Deltas:
        """Yield what is still open, for an answer that ended without a finish reason."""
        yield from self._finish(None)

    def stop(self, reason: str) -> Deltas:
        """Yield what is still open, for an answer that is not read to its end."""
        if not self.finished:
            yield from self._finish(reason)

    def end(self) -> Deltas:
        """Yield what is known only at the end of the stream: the usage."""
        if self._usage is not None or self._tier is not None:
            yield replace(self._usage or Usage(0, 0), service_tier=self._tier)

    def _said(self, delta: Json, logprobs: Logprobs = ()) -> Deltas:
        if self._live is None:
            yield from self._words(delta, logprobs)
        else:
            self._held += self._words(delta, logprobs)
        for piece in delta.get("tool_calls") or ():
            yield from self._piece(piece)

    def _message(self, choice: Json) -> Deltas:
        """Read a message in the place of a delta. The last one may repeat what came before it."""
        fields, before = message_of(choice), "".join(self._text)
        text = fields.get("content")
        if choice.get("finish_reason") and before:
            repeated = isinstance(text, str) and text.startswith(before)
            fields["content"] = text[len(before) :] if isinstance(text, str) and repeated else None
            fields = {name: value for name, value in fields.items() if name not in (*_THOUGHTS, "refusal")}
        if choice.get("finish_reason") and (self._open or self._sent):
            fields["tool_calls"] = None
        yield from self._said(fields, _logprobs(choice))

    def _words(self, delta: Json, logprobs: Logprobs) -> Iterator[_Words]:
        thought = delta.get("reasoning_content") or delta.get("reasoning")
        if isinstance(thought, str) and (thought := self._halves.joined("thought", thought)):
            yield ReasoningDelta(thought)
        words = delta.get("content")
        if words and not isinstance(words, str):
            words = "".join(getattr(part, "text", None) or "" for part in parts_of(wrapped(words)))
        if words and (text := self._halves.joined("text", words)):
            self._text.append(text)
            yield TextDelta(text, logprobs)
        if (refusal := delta.get("refusal")) and (text := self._halves.joined("refusal", refusal)):
            yield RefusalDelta(text)

    def _piece(self, piece: Json) -> Deltas:
        index, given_id, function = piece.get("index") or 0, piece.get("id"), piece.get("function")
        call = self._open.get(index)
        if call is None or _is_another(given_id, function, call):
            if call is not None:
                yield from self._whole(self._open.pop(index))
                yield from self._released()
            call = self._open[index] = _Call(given_id, given_id or f"#{index}")
        if function is not None:
            call.name = call.name or function.get("name") or ""
            call.arguments.append(self._halves.joined(call.key, as_text(function.get("arguments"))))
            yield from self._show(call)

    def _show(self, call: _Call) -> Deltas:
        tool = self._offered.called(call.name)
        is_first = len(self._open) == 1 and call.key not in self._sent
        if self._live is None and tool is not None and is_first:
            call.live = self._live = tool.live_call(self._call_ids.unused(call.given_id))
            call.live.name = call.name if tool.repeated else None
            yield from call.live.write("".join(call.arguments))
        elif call.live is not None:
            yield from call.live.write(call.arguments[-1])

    def _finish(self, cut_off: str | None) -> Deltas:
        """Yield what is still open. `cut_off` is why the answer is incomplete, None if it is complete."""
        self.finished = True
        if rest := self._halves.rest("text"):
            self._held.append(TextDelta(rest))
        calls = list(self._open.values())
        for call in calls[:-1] if cut_off else calls:
            yield from self._whole(call)
        if cut_off and calls:
            yield from self._cut(calls[-1])
        yield from self._released()
        if cut_off:
            yield Truncated(cut_off)

    def _released(self) -> Deltas:
        """Yield the held text, unless a streamed call is still open."""
        if self._live is None:
            held, self._held = self._held, []
            yield from held

    def _cut(self, call: _Call) -> Deltas:
        """Read the last call of an answer that was cut off.

        It does not run, because its arguments may be incomplete, unless text came after the end of them:
        then the cut was in that text.
        """
        arguments = "".join(call.arguments)
        if begun := leading_objects(arguments):  # another call ran into this one, and only that was cut off
            call.arguments = [begun]
            yield from self._whole(call)
            arguments = arguments[len(begun) :]
            call = _Call(None, call.key, call.name, [arguments])
        if call.live is not None and self._holds_words():
            if is_whole(arguments):
                yield from self._whole(call)
            else:
                self._live = None
                yield RejectedCall(call.live.call_id, call.name, arguments, CUT_OFF)
        elif self._offered.called(call.name) is None:
            yield from self._released()
            yield ItemBreak()
            yield CallDelta(CLIENT_FUNCTION, self._call_ids.unused(call.given_id), arguments, name=call.name)
            # No break: the item is still open when the step ends, and so becomes incomplete.

    def _holds_words(self) -> bool:
        """Return whether the held text is more than the white space that some parsers leave."""
        return any(each.text.strip() for each in self._held)

    def _whole(self, call: _Call) -> Deltas:
        arguments = "".join(call.arguments)
        if self._is_repeated(call, arguments):
            return
        if call.live is not None:
            self._live, call_id = None, call.live.call_id
        else:
            call_id = self._call_ids.unused(call.given_id)
        tool = self._offered.called(call.name)
        yield from read_calls(tool, (call_id, call.name, arguments), self._call_ids.another)

    def _is_repeated(self, call: _Call, arguments: str) -> bool:
        """Return whether the server has sent this call before, under the same id."""
        sent = self._sent.setdefault(call.key, set())
        repeated = (call.name, arguments) in sent
        sent.add((call.name, arguments))
        return repeated


def _characters(delta: Json) -> int:
    functions = [piece.get("function") for piece in delta.get("tool_calls") or ()]
    written = [each.get("arguments") for each in functions if each is not None]
    return sum(len(str(each)) for each in (*written, *map(delta.get, _TEXTS)) if each)


def _is_another(given_id: Any, function: Json | None, call: _Call) -> bool:
    """Return whether a piece begins another call than the open one under the same index."""
    if given_id and call.given_id:
        return bool(given_id != call.given_id)
    if given_id or function is None or not function.get("name") or not call.name:
        return False
    # Without ids, the name comes once for each call; a repeated name without arguments is no call.
    is_new = function.get("arguments") or function["name"] != call.name
    return bool(is_new) and is_whole("".join(call.arguments))


def _logprobs(choice: Json) -> Logprobs:
    given = choice.get("logprobs")
    return logprobs_of(given.get("content")) if isinstance(given, Mapping) else ()


def _usage(usage: Any) -> Usage:
    given = usage if isinstance(usage, dict) else {}
    return Usage(
        tokens(given.get("prompt_tokens")),
        tokens(given.get("completion_tokens")),
        cached_tokens=_detail(given, "prompt_tokens_details", "cached_tokens"),
        reasoning_tokens=_detail(given, "completion_tokens_details", "reasoning_tokens"),
    )


def _detail(usage: Json, group: str, name: str) -> int:
    details = usage.get(group)
    return tokens(details.get(name)) if isinstance(details, dict) else 0
