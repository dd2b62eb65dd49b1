"""Recovery of a response after its process died, from the journal of its events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent_kernel.protocol.calls import CallKind, CallKinds, json_key
from agent_kernel.protocol.deltas import made_upstream

Json = dict[str, Any]


@dataclass(frozen=True)
class Ending:
    """The result of `end_broken`: the final response, and the events that were missing."""

    response: Json
    events: list[Json]


def end_broken(
    response: Mapping[str, Any], journal: Iterable[Mapping[str, Any]], reason: str, kinds: CallKinds
) -> Ending:
    """End a response as incomplete.

    `response` is its skeleton. `journal` has its events in order: all of them, or at least each
    `response.output_item.done`. Open items are closed with the content written so far, and every call without
    an output gets one, as the assembler would have done. `kinds` finds the tools.
    """
    replay = _Replay(kinds)
    for event in journal:
        replay.take(event)
    events = [replay.done(index, replay.partial(index)) for index in sorted(replay.open)]
    for call in replay.unanswered():
        events += replay.answer(call, f"The command was stopped or not begun ({reason}).")
    ended: Json = {
        **response,
        "status": "incomplete",
        "incomplete_details": {"reason": reason},
        "output": [replay.finished[index] for index in sorted(replay.finished)],
    }
    last = {"type": "response.incomplete", "response": ended, "sequence_number": replay.next_number()}
    return Ending(ended, [*events, last])


@dataclass(frozen=True)
class BrokenCall:
    """A call without a finished output, which may have been running when its process died.

    `output` is its open output item, if any, at `index`; `events` are the events of that item so far. If
    call and output are one item, `index` is always set, and `events` are those since the call.
    """

    kind: CallKind
    call: Json
    output: Json | None = None
    index: int | None = None
    events: Sequence[Json] = ()


@dataclass(frozen=True)
class ResumePoint:
    """A response between two steps of its model, from which it can be resumed.

    `items` are the finished items by index; `told` are those to send to the model. `events` are the missing
    events that close what the last step had begun; the model repeats that step.
    """

    items: Mapping[int, Json]
    told: Sequence[Json]
    events: Sequence[Json]
    next_number: int
    begun: bool
    """Whether `response.in_progress` was sent."""
    calls: Sequence[BrokenCall] = ()
    """Calls of the last step that have no output yet, in order. If there are any, all items are `told`."""


def standing(journal: Iterable[Mapping[str, Any]], kinds: CallKinds) -> ResumePoint | None:
    """Return the point from which to resume the response of this complete `journal`.

    None if there is no safe one: the model may have finished, or a call was running whose tool is not
    `resumable`.
    """
    replay, begun = _Replay(kinds), False
    for event in journal:
        replay.take(event)
        begun = begun or event["type"] == "response.in_progress"
    if not all(replay.goes_on(item) for item in replay.finished.values()):
        return None
    if calls := [*map(replay.broken, replay.unanswered()), *replay.running()]:
        return _in_calls(replay, calls, begun)
    done = [index for index, item in replay.finished.items() if replay.answers(item) is not None]
    last = max(done, default=-1)
    since = [item["type"] for index, item in replay.finished.items() if index > last]
    if set(since) - {"reasoning"} or any(item["type"] not in _SAID for item in replay.open.values()):
        return None
    told = [replay.finished[index] for index in sorted(replay.finished) if index <= last]
    events = [replay.done(index, replay.partial(index)) for index in sorted(replay.open)]
    return ResumePoint(replay.finished, told, events, replay.next_number(), begun)


def _in_calls(replay: _Replay, calls: Sequence[BrokenCall], begun: bool) -> ResumePoint | None:
    """Return the resume point of a response that died in the calls of its last step."""
    if not all(
        each.kind.resumable and (each.kind.one_item or each.call.get("status") == "completed")
        for each in calls
    ):
        return None
    if set(replay.open) != {each.index for each in calls if each.index is not None}:
        return None  # the model was still writing
    told = [replay.finished[index] for index in sorted(replay.finished)]
    return ResumePoint(replay.finished, told, (), replay.next_number(), begun, calls)


_SAID = ("reasoning", "message")


class _Replay:
    """The state of a response, rebuilt from its events."""

    def __init__(self, kinds: CallKinds) -> None:
        self.finished: dict[int, Json] = {}
        self.open: dict[int, Json] = {}
        self._kinds = kinds
        self._pieces: dict[int, dict[int, list[Any]]] = {}
        self._events: dict[int, list[Json]] = {}
        self._number = -1

    def take(self, event: Mapping[str, Any]) -> None:
        self._number = max(self._number, int(event.get("sequence_number", -1)))
        index = event.get("output_index")
        if index is None:
            return
        kind = event["type"]
        if kind == "response.output_item.added":
            self.open[index] = dict(event["item"])
        elif kind == "response.output_item.done":
            self.open.pop(index, None)
            self._events.pop(index, None)
            self.finished[index] = dict(event["item"])
        else:
            self._events.setdefault(index, []).append(dict(event))
            if kind.endswith(".delta"):
                kind_of = "refusal" if kind == "response.refusal.delta" else "text"
                self._pieces.setdefault(index, {}).setdefault(_part(event), []).append(
                    (kind_of, event["delta"])
                )

    def makes(self, item: Mapping[str, Any]) -> CallKind | None:
        """Return the tool that this item is a call of; None for other items and for the client's calls."""
        kind = self._kind_of(item)
        return None if kind is None or kind.by_client else kind

    def _kind_of(self, item: Mapping[str, Any]) -> CallKind | None:
        """Return the tool of a call, unless an upstream made it with a tool of its own: nothing runs here."""
        return None if made_upstream(item) is not None else self._kinds.of_call(item["type"])

    def answers(self, item: Mapping[str, Any]) -> CallKind | None:
        """Return the tool that this item is an output of; None for other items."""
        call = self._kind_of(item)
        kind = call if call is not None and call.one_item else self._kinds.of_output(item["type"])
        return None if kind is None or kind.by_client else kind

    def goes_on(self, item: Mapping[str, Any]) -> bool:
        """Return whether the model may continue after this item."""
        return item["type"] in _SAID or self.makes(item) is not None or self.answers(item) is not None

    def next_number(self) -> int:
        self._number += 1
        return self._number

    def partial(self, index: int) -> Json:
        """Return the open item with the content written so far."""
        item = {**self.open[index], "status": "incomplete"}
        parts = self._pieces.get(index, {})
        texts = {part: "".join(p for _, p in pieces if isinstance(p, str)) for part, pieces in parts.items()}
        match item["type"]:
            case "message":
                item["content"] = [_content(parts[part][0][0], texts[part]) for part in sorted(parts)]
            case "reasoning":
                item["summary"] = [{"type": "summary_text", "text": texts[part]} for part in sorted(texts)]
            case kind:
                return self._interrupted(index, kind, item, [texts[part] for part in sorted(texts)])
        return item

    def _interrupted(self, index: int, kind: str, item: Json, parts: Sequence[str]) -> Json:
        tool = self._kind_of(item)
        if tool is not None and tool.one_item:
            return dict(tool.interrupted_output(item, None, self._events.get(index, ())))
        if tool is not None:
            return dict(tool.interrupted_call(item, parts))
        tool = self._kinds.of_output(kind)
        if tool is None:
            return item
        calls = [each for each in self.finished.values() if each["type"] == tool.call_type]
        call = next((each for each in calls if each["call_id"] == item["call_id"]), None)
        return dict(tool.interrupted_output(item, call, self._events.get(index, ())))

    def done(self, index: int, item: Json) -> Json:
        self.finished[index] = item
        return self._about("response.output_item.done", index, item)

    def unanswered(self) -> list[Json]:
        """Return the finished calls of this server's tools that have no output."""
        items = [self.finished[index] for index in sorted(self.finished)]
        answered = {json_key(each) for each in items if self.answers(each) is not None}
        return [each for each in items if self.makes(each) is not None and json_key(each) not in answered]

    def running(self) -> list[BrokenCall]:
        """Return the complete calls whose items are open, because their outputs belong to them."""
        found = []
        for index in sorted(self.open):
            item, events = self.open[index], self._events.get(index, ())
            kind = self._kind_of(item)
            whole = kind.whole_call(item, events) if kind is not None and kind.one_item else None
            if kind is not None and whole is not None:
                call, since = dict(whole[0]), [dict(event) for event in whole[1]]
                found.append(BrokenCall(kind, call, call if since else None, index, since))
        return found

    def broken(self, call: Json) -> BrokenCall:
        """Return a call without output, with its open output item if it has one."""
        kind = self.makes(call)
        assert kind is not None  # noqa: S101 (`unanswered` found it)
        for index, item in self.open.items():
            if item["type"] == kind.output_type and item.get("call_id") == call["call_id"]:
                return BrokenCall(kind, call, item, index, self._events.get(index, ()))
        return BrokenCall(kind, call)

    def answer(self, call: Json, why: str) -> list[Json]:
        """Return the events of an output that says why the call did not run."""
        tool = self.makes(call)
        assert tool is not None  # noqa: S101 (`unanswered` found it)
        index = max(self.finished, default=-1) + 1
        item = dict(tool.output_item(call, why))
        added = self._about("response.output_item.added", index, {**item, "output": type(item["output"])()})
        return [added, self.done(index, item)]

    def _about(self, kind: str, index: int, item: Json) -> Json:
        return {"type": kind, "output_index": index, "item": item, "sequence_number": self.next_number()}


def _part(event: Mapping[str, Any]) -> int:
    for name in ("content_index", "summary_index", "command_index"):
        if name in event:
            return int(event[name])
    return 0


def _content(kind: str, text: str) -> Json:
    if kind == "refusal":
        return {"type": "refusal", "refusal": text}
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
