"""Fold the events of a turn into what the model said, step by step, and what its calls printed."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from agent_kernel.cassettes.cassette import (
    ENDINGS,
    PrintedOutput,
    RecordedCell,
    RecordedStep,
    Said,
    SaidCall,
    SaidRejected,
    SaidText,
)
from agent_kernel.cassettes.text import kept

if TYPE_CHECKING:
    from agent_kernel.cassettes.redaction import Redaction
    from agent_kernel.runtime.base import SessionEvent

_LIMITS = ("timeout_ms", "max_output_length")
_NOT_WRITTEN = {
    "id", "type", "status", "call_id", "container_id", "environment", "caller", "created_by", "agent_kernel",
    "output", "outputs", "result", "error",
}  # fmt: skip
"""Fields of a call's item that the model did not write."""

_MAX_REASON = 200


class TurnTape:
    """What happens in one turn of a cell. `cell` has the cell's keys; its steps are empty."""

    def __init__(self, cell: RecordedCell, redaction: Redaction) -> None:
        self.model = ""
        self._cell = cell
        self._redact = redaction
        self._steps: list[list[tuple[int, int]]] = [[]]
        self._answered = False
        self._responses = 0
        self._items: dict[tuple[int, int], list[Said]] = {}
        self._calls: dict[str, tuple[int, int]] = {}
        self._ending: tuple[str, str] = ("", "")

    async def watch(self, events: AsyncGenerator[SessionEvent, None]) -> AsyncGenerator[SessionEvent, None]:
        """Yield the events as they are, and remember what they say."""
        async with aclosing(events):
            async for event in events:
                self._take(event)
                yield event

    def whole(self) -> RecordedCell | None:
        """Return the cell with its steps if its last answer is whole, None if it was cut short."""
        status, reason = self._ending
        if status == "completed" or (status == "incomplete" and reason in ENDINGS):
            return replace(self._cell, steps=tuple(self._recorded()), ended=reason)
        return None

    def _recorded(self) -> Iterator[RecordedStep]:
        for step in self._steps:
            said = tuple(each for place in step for each in self._items.get(place, ()))
            if said:
                yield said

    def _take(self, event: Any) -> None:
        kind = event.type
        if kind == "response.created":
            self._answered |= self._called()  # approved or denied calls have their results now
            self._responses += 1
            self.model = str(event.response.model or "")
        elif kind == "response.output_item.added":
            self._added(str(event.item.type), (self._responses, event.output_index))
        elif kind == "response.output_item.done":
            item = event.item.to_dict(mode="json", warnings=False)
            self._done(item, (self._responses, event.output_index))
        elif kind in ("response.completed", "response.incomplete", "response.failed"):
            details = event.response.incomplete_details
            self._ending = kind.rpartition(".")[2], str(details.reason or "") if details else ""

    def _called(self) -> bool:
        return any(isinstance(said, SaidCall) for at in self._steps[-1] for said in self._items.get(at, ()))

    def _added(self, kind: str, place: tuple[int, int]) -> None:
        """Put an item into the step it belongs to: after results, the model's next item begins another."""
        if kind.endswith("_output"):
            return
        if self._answered:
            self._steps.append([])
            self._answered = False
        self._steps[-1].append(place)

    def _done(self, item: Mapping[str, Any], place: tuple[int, int]) -> None:
        kind = str(item.get("type"))
        if kind.endswith("_call_output"):
            self._answered = True
            call = self._calls.get(str(item.get("call_id")))
            if call is not None:
                self._items[call] = [self._answered_by(item, each) for each in self._items[call]]
            return
        said = list(self._said(kind, item))
        self._items[place] = said
        if kind.endswith("_call"):
            self._answered |= (
                item.get("call_id") is None
            )  # its output is in the same item, or it was rejected
            self._calls[str(item.get("call_id"))] = place

    def _answered_by(self, output: Mapping[str, Any], said: Said) -> Said:
        return replace(said, printed=self._printed(output)) if isinstance(said, SaidCall) else said

    def _said(self, kind: str, item: Mapping[str, Any]) -> Iterator[Said]:
        text = self._redact.text
        if kind == "reasoning":
            parts = [str(part.get("text") or "") for part in item.get("summary") or ()]
            yield from (SaidText("reasoning", text(part)) for part in parts if part.strip())
        elif kind == "message":
            yield from self._message(item)
        elif kind == "mcp_call" and item.get("server_label") == "agent_kernel":
            error = item.get("error")
            why = error.get("message") if isinstance(error, Mapping) else error
            names = (item.get("name"), item.get("arguments"), why)
            yield SaidRejected(*(text(str(each or "")) for each in names))
        elif kind.endswith("_call") and kind != "mcp_call":
            printed = self._code_printed(item) if kind == "code_interpreter_call" else None
            yield SaidCall(kind.removesuffix("_call"), self._redact.value(_fields(kind, item)), printed)

    def _message(self, item: Mapping[str, Any]) -> Iterator[Said]:
        phase = str(item.get("phase") or "")
        parts = list(item.get("content") or ())
        answer = "".join(str(part.get("text") or "") for part in parts)
        refusal = "".join(str(part.get("refusal") or "") for part in parts)
        if answer:
            yield SaidText("message", self._redact.text(answer), phase)
        if refusal:
            yield SaidText("refusal", self._redact.text(refusal), phase)

    def _printed(self, item: Mapping[str, Any]) -> tuple[PrintedOutput, ...] | None:
        contents = item.get("output")
        if item.get("type") != "shell_call_output" or not isinstance(contents, list):
            return None
        return tuple(
            PrintedOutput(
                self._kept(each.get("stdout")),
                self._kept(each.get("stderr")),
                _ended(each.get("outcome") or {}),
            )
            for each in contents
        )

    def _code_printed(self, item: Mapping[str, Any]) -> tuple[PrintedOutput, ...] | None:
        if item.get("status") != "completed":
            return None
        ours = item.get("agent_kernel")
        outputs = ours.get("outputs") if isinstance(ours, Mapping) else None
        texts, ended = [], ""
        for each in outputs if isinstance(outputs, list) else item.get("outputs") or ():
            if each.get("output_type") == "error":
                first = str(each.get("evalue") or "").partition("\n")[0]
                ended = f"{each.get('ename')}: {first}"[:_MAX_REASON]
            else:
                texts.append(_shown(each))
        return (PrintedOutput(self._kept("".join(texts)), "", self._kept(ended)),)

    def _kept(self, text: object) -> str:
        return kept(self._redact.text(str(text or "")))


def _fields(kind: str, item: Mapping[str, Any]) -> Mapping[str, Any]:
    if kind == "shell_call":
        action = item.get("action") or {}
        limits = {name: action[name] for name in _LIMITS if action.get(name) is not None}
        return {"action": {"commands": list(action.get("commands") or ()), **limits}}
    if kind == "code_interpreter_call":
        return {"code": str(item.get("code") or "")}
    return {name: value for name, value in item.items() if name not in _NOT_WRITTEN and value is not None}


def _ended(outcome: Mapping[str, Any]) -> str:
    if outcome.get("type") == "timeout":
        return "timed out"
    code = outcome.get("exit_code")
    return f"exit {code}" if code else ""


def _shown(output: Mapping[str, Any]) -> str:
    """Return an output of code as text, one that has none as its types. A result ends its line."""
    if output.get("type") == "logs":
        return str(output.get("logs") or "")
    if output.get("output_type") == "stream":
        return str(output.get("text") or "")
    data = output.get("data")
    if not isinstance(data, Mapping):
        return f"[{output.get('type') or output.get('output_type')}]\n"
    pictures = "".join(f"[{name}]\n" for name in sorted(map(str, data)) if name.startswith("image/"))
    plain = data.get("text/plain")
    return (
        pictures
        if pictures
        else f"{plain}\n"
        if isinstance(plain, str)
        else f"[{', '.join(sorted(map(str, data)))}]\n"
    )
