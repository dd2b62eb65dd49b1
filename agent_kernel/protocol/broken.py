"""The end of a response whose process died: from the journal of its events, the items and events it lacks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent_kernel.protocol import ids
from agent_kernel.protocol.calls import UNFINISHED

Json = dict[str, Any]


@dataclass(frozen=True)
class Ending:
    """What `end_broken` found out: the response as it ends, and the events that were still owed."""

    response: Json
    events: list[Json]


def end_broken(response: Mapping[str, Any], journal: Iterable[Mapping[str, Any]], reason: str) -> Ending:
    """End a response as incomplete.

    `response` is its skeleton, `journal` its events in order: all of them, or at least each
    `response.output_item.done`. Items that were open are closed as far as they had come, and every shell call
    without an output is given one, as the assembler would have done.
    """
    replay = _Replay()
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
class ResumePoint:
    """A response between two steps of its model, and how to go on with it.

    `items` are the finished ones, by their index; `told` those of them that the model is told of. `events`
    were still owed: what its last step had begun is closed, and said anew.
    """

    items: Mapping[int, Json]
    told: Sequence[Json]
    events: Sequence[Json]
    next_number: int
    begun: bool
    """Whether `response.in_progress` has gone out."""


def standing(journal: Iterable[Mapping[str, Any]]) -> ResumePoint | None:
    """Where a response stood whose whole `journal` this is.

    None if something may have been done of which the journal does not know the end (a command), or if the
    model may have come to its own.
    """
    replay, begun = _Replay(), False
    for event in journal:
        replay.take(event)
        begun = begun or event["type"] == "response.in_progress"
    if any(item["type"] not in _GOES_ON for item in replay.finished.values()) or replay.unanswered():
        return None
    done = [index for index, item in replay.finished.items() if item["type"] == "shell_call_output"]
    last = max(done, default=-1)
    since = [item["type"] for index, item in replay.finished.items() if index > last]
    if set(since) - {"reasoning"} or any(item["type"] not in _SAID for item in replay.open.values()):
        return None
    told = [replay.finished[index] for index in sorted(replay.finished) if index <= last]
    events = [replay.done(index, replay.partial(index)) for index in sorted(replay.open)]
    return ResumePoint(replay.finished, told, events, replay.next_number(), begun)


_SAID = ("reasoning", "message")
_GOES_ON = (*_SAID, "shell_call", "shell_call_output")


class _Replay:
    """What a reader of the events knows."""

    def __init__(self) -> None:
        self.finished: dict[int, Json] = {}
        self.open: dict[int, Json] = {}
        self._pieces: dict[int, dict[int, list[Any]]] = {}
        self._contents: dict[int, dict[int, Json]] = {}
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
            self.finished[index] = dict(event["item"])
        elif kind == "response.shell_call_output_content.done":
            self._contents.setdefault(index, {})[event["command_index"]] = dict(event["output"][0])
        elif kind.endswith(".delta"):
            part = _part(event)
            kind_of = "refusal" if kind == "response.refusal.delta" else "text"
            self._pieces.setdefault(index, {}).setdefault(part, []).append((kind_of, event["delta"]))

    def next_number(self) -> int:
        self._number += 1
        return self._number

    def partial(self, index: int) -> Json:
        """The open item as far as it had come."""
        item = {**self.open[index], "status": "incomplete"}
        parts = self._pieces.get(index, {})
        texts = {part: "".join(p for _, p in pieces if isinstance(p, str)) for part, pieces in parts.items()}
        match item["type"]:
            case "message":
                item["content"] = [_content(parts[part][0][0], texts[part]) for part in sorted(parts)]
            case "reasoning":
                item["summary"] = [{"type": "summary_text", "text": texts[part]} for part in sorted(texts)]
            case "function_call":
                item["arguments"] = texts.get(0, "")
            case "shell_call":
                item["action"] = {**item["action"], "commands": [texts[part] for part in sorted(texts)]}
            case "shell_call_output":
                item["output"] = self._outputs(index, item)
        return item

    def _outputs(self, index: int, item: Json) -> list[Json]:
        calls = [each for each in self.finished.values() if each["type"] == "shell_call"]
        call = next((each for each in calls if each["call_id"] == item["call_id"]), None)
        count = len(call["action"]["commands"]) if call else 0
        contents, pieces = self._contents.get(index, {}), self._pieces.get(index, {})
        return [contents.get(n) or _interrupted(pieces.get(n, [])) for n in range(count)]

    def done(self, index: int, item: Json) -> Json:
        self.finished[index] = item
        return self._about("response.output_item.done", index, item)

    def unanswered(self) -> list[Json]:
        answered = {i["call_id"] for i in self.finished.values() if i["type"] == "shell_call_output"}
        calls = [self.finished[index] for index in sorted(self.finished)]
        return [each for each in calls if each["type"] == "shell_call" and each["call_id"] not in answered]

    def answer(self, call: Json, why: str) -> list[Json]:
        index = max(self.finished, default=-1) + 1
        content = {"stdout": "", "stderr": why, "outcome": {"type": "exit", "exit_code": UNFINISHED}}
        item = {
            "id": ids.shell_output_id(),
            "type": "shell_call_output",
            "call_id": call["call_id"],
            "max_output_length": call["action"].get("max_output_length"),
            "output": [],
            "status": "incomplete",
        }
        added = self._about("response.output_item.added", index, item)
        whole = {**item, "output": [content for _ in call["action"]["commands"]]}
        return [added, self.done(index, whole)]

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


def _interrupted(pieces: list[Any]) -> Json:
    out = "".join(piece.get("stdout", "") for _, piece in pieces)
    err = "".join(piece.get("stderr", "") for _, piece in pieces)
    note = err + ("\n" if err and not err.endswith("\n") else "") + "The command did not run to its end."
    return {"stdout": out, "stderr": note, "outcome": {"type": "exit", "exit_code": UNFINISHED}}
