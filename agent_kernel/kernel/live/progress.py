"""The progress of a running turn: items that grow with its events. Pure."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from agent_kernel.kernel.render.code.outputs import outputs_of, stop_of, text_of
from agent_kernel.kernel.render.desktop.call import captions
from agent_kernel.kernel.render.endings import stopped
from agent_kernel.kernel.render.generic import ARGUMENTS, OUTPUTS, readable
from agent_kernel.protocol.desktop.items import said_in

if TYPE_CHECKING:
    from agent_kernel.runtime.base import SessionEvent


MOST_PARTS = 32
"""The number of texts kept of one item of a type without its own reader."""


class Text:
    """A growing text that keeps only its last `limit` characters."""

    def __init__(self, limit: int) -> None:
        self.length = 0
        self._limit = limit
        self._pieces: deque[str] = deque()
        self._kept = 0

    def append(self, text: str) -> None:
        """Append text, dropping characters from the start beyond the limit."""
        self.length += len(text)
        self._pieces.append(text[-self._limit :])
        self._kept += len(self._pieces[-1])
        while self._kept - len(self._pieces[0]) >= self._limit:
            self._kept -= len(self._pieces.popleft())

    def end(self, limit: int | None = None) -> str:
        """Return the last `limit` characters, or all that are kept."""
        whole = "".join(self._pieces)
        self._pieces, self._kept = deque([whole]), len(whole)
        return whole[-min(limit or self._limit, self._limit) :]

    def __str__(self) -> str:
        end = self.end()
        before = self.length - len(end)
        return f"[... {before:,} characters before this ...]\n{end}" if before else end


@dataclass
class Growing:
    """An unfinished item.

    `parts` are its texts by name: `text` (message), `summary.N`, `command.N`, `stdout.N`, `stderr.N`,
    `outcome.N`, `seconds.N`; of code `code`, `begun`, `printed`, `outcome`, `seconds`; for all other items
    the names of their fields, for example `arguments`.
    `call_id` links a call and its output; `name` is the function or tool called.
    """

    kind: str
    call_id: str = ""
    limit: int = 100_000
    name: str = ""
    parts: dict[str, Text] = field(default_factory=dict)
    done: bool = False
    touched: float = field(default_factory=time.monotonic)
    """Monotonic time when it began, or when its last command ended."""

    def append(self, part: str, text: str) -> int:
        """Append to a part. Returns the part's length before."""
        grown = self.parts.setdefault(part, Text(self.limit))
        grown.append(text)
        return grown.length - len(text)

    def item(self) -> dict[str, Any]:
        """Return the content so far in the shape of an output item, without ids."""
        if self.kind == "reasoning":
            return {"type": self.kind, "summary": [{"text": text} for text in self._all("summary")]}
        if self.kind == "shell_call":
            return {"type": self.kind, "action": {"commands": self._all("command")}}
        if self.kind == "shell_call_output":
            return {"type": self.kind, "output": [self._content(index) for index in self._indices()]}
        if self.kind == "code_interpreter_call":
            logs = {"type": "logs", "logs": str(self.parts.get("printed", ""))}
            code = str(self.parts.get("code", ""))
            return {"type": self.kind, "status": "incomplete", "code": code, "outputs": [logs]}
        if self.kind == "message":
            text = str(self.parts.get("text", ""))
            return {"type": self.kind, "content": [{"type": "output_text", "text": text}]}
        fields = {name: str(text) for name, text in self.parts.items()}
        return {"type": self.kind, "name": self.name, "status": "incomplete", **fields}

    def seconds(self) -> list[float | None]:
        """Return how long each command took, or the code; None for one that has not ended.

        Empty for other items, and if it is not known of any.
        """
        if self.kind == "code_interpreter_call":
            return [float(str(self.parts["seconds"]))] if "seconds" in self.parts else []
        indices = self._indices() if self.kind == "shell_call_output" else []
        names = [f"seconds.{index}" for index in indices]
        found = [float(str(self.parts[name])) if name in self.parts else None for name in names]
        return found if any(each is not None for each in found) else []

    def _indices(self) -> list[int]:
        return sorted({int(name.partition(".")[2]) for name in self.parts if "." in name})

    def _all(self, prefix: str) -> list[str]:
        return [str(text) for name, text in self.parts.items() if name.startswith(prefix + ".")]

    def _content(self, index: int) -> dict[str, Any]:
        texts = {name: str(self.parts.get(f"{name}.{index}", "")) for name in ("stdout", "stderr")}
        return {**texts, "outcome": None}


@dataclass(frozen=True)
class Delta:
    """`text` was appended to `part` of item `index`, which had `position` characters before."""

    index: int
    part: str
    position: int
    text: str


class Progress:
    """The items of a cell's turns in the order in which they began, numbered from 0.

    `limit` is the number of characters kept of each text.
    """

    def __init__(self, limit: int = 100_000) -> None:
        self.items: dict[int, Growing] = {}
        self.changed: set[int] = set()
        """Numbers of items that began or ended since the view last cleared this set."""
        self._limit = limit
        self._numbers: dict[int, int] = {}
        """Item numbers of the current turn, by output index."""
        self._next = 0

    def take(self, event: SessionEvent) -> list[Delta]:
        """Process an event and return the text it added. Events of other kinds add nothing."""
        reader = _READERS.get(event.type)
        if reader is None and event.type.startswith("response.") and event.type.endswith(".delta"):
            reader = Progress._generic
        return reader(self, event) if reader else []

    def add(self, kind: str, text: str, *, done: bool = True) -> list[Delta]:
        """Add an item that does not come from an event. One that is not done is done in the next response."""
        number = self._new(kind, "")
        self.items[number].done = done
        return self._append(number, "text", text)

    def number(self, event: Any) -> int | None:
        """Return the number of the item that an event is about."""
        return self._numbers.get(event.output_index)

    def seconds(self, output_index: int) -> list[float | None]:
        """Return how long the commands of an item of the current turn took; empty if it is unknown."""
        growing = self.items.get(self._numbers.get(output_index, -1))
        return growing.seconds() if growing is not None else []

    def forget(self, output_index: int) -> None:
        """Drop an item of the current turn that is kept elsewhere."""
        number = self._numbers.get(output_index)
        if number is not None:
            self.items.pop(number, None)

    def _new(self, kind: str, call_id: str) -> int:
        number, self._next = self._next, self._next + 1
        self.items[number] = Growing(kind, call_id, self._limit)
        self.changed.add(number)
        return number

    def _created(self, _event: Any) -> list[Delta]:
        self._numbers.clear()
        for number, growing in self.items.items():
            if growing.kind == "said" and not growing.done:
                growing.done = True
                self.changed.add(number)
        return []

    def _added(self, event: Any) -> list[Delta]:
        item = _json(event.item)
        number = self._new(str(item.get("type")), str(item.get("call_id") or ""))
        self.items[number].name = str(item.get("name") or "")
        self._numbers[event.output_index] = number
        return []

    def _item_done(self, event: Any) -> list[Delta]:
        """Add the parts of the final item that its deltas did not contain."""
        item = _json(event.item)
        if event.output_index not in self._numbers:
            self._added(event)
        number = self._numbers[event.output_index]
        if number not in self.items:
            return []
        growing = self.items[number]
        growing.done = True
        self.changed.add(number)
        seconds = f"{time.monotonic() - growing.touched:.1f}" if "begun" in growing.parts else ""
        deltas = self._append(number, "seconds", seconds)
        return deltas + [
            delta for part, text in _final_parts(item) for delta in self._complete(number, part, text)
        ]

    def _complete(self, number: int, part: str, text: str) -> list[Delta]:
        """Append the missing end of a complete text. If the deltas differ from it, keep the deltas."""
        known = self.items[number].parts.get(part)
        if known is None:
            return self._append(number, part, text)
        end = known.end()
        if not text.startswith(end, known.length - len(end)):
            return []
        return self._append(number, part, text[known.length :])

    def _append(self, number: int | None, part: str, text: str) -> list[Delta]:
        growing = self.items.get(number) if number is not None else None
        if number is None or growing is None or not text:
            return []
        return [Delta(number, part, growing.append(part, text), text)]

    def _delta(self, event: Any, part: str, text: str | None) -> list[Delta]:
        return self._append(self._numbers.get(event.output_index), part, text or "")

    def _generic(self, event: Any) -> list[Delta]:
        """Process a delta of a call without its own reader: a text, or texts by field name."""
        number = self._numbers.get(getattr(event, "output_index", -1))
        growing = self.items.get(number) if number is not None else None
        if number is None or growing is None:
            return []
        given = event.delta if isinstance(getattr(event, "delta", None), Mapping) else None
        texts = given if given is not None else {_field(event.type, growing.kind): event.delta}
        return [
            delta
            for name, text in texts.items()
            if isinstance(text, str) and (name in growing.parts or len(growing.parts) < MOST_PARTS)
            for delta in self._append(number, str(name), text)
        ]

    def _text(self, event: Any) -> list[Delta]:
        return self._delta(event, "text", event.delta)

    def _summary(self, event: Any) -> list[Delta]:
        return self._delta(event, f"summary.{event.summary_index}", event.delta)

    def _command(self, event: Any) -> list[Delta]:
        return self._delta(event, f"command.{event.command_index}", event.delta)

    def _output(self, event: Any) -> list[Delta]:
        out = self._delta(event, f"stdout.{event.command_index}", event.delta.stdout)
        return out + self._delta(event, f"stderr.{event.command_index}", event.delta.stderr)

    def _code_begun(self, event: Any) -> list[Delta]:
        """Record that code runs, from now on."""
        number = self._numbers.get(event.output_index)
        if number is not None and (growing := self.items.get(number)) is not None:
            growing.touched = time.monotonic()
            self.changed.add(number)
        return self._append(number, "begun", "1")

    def _printed(self, event: Any) -> list[Delta]:
        return self._delta(event, "printed", event.delta)

    def _reported(self, event: Any) -> list[Delta]:
        """Add what an MCP server reports of a call: how far it is, and a line of its own."""
        far = f"{event.progress:g}" + (f" of {event.total:g}" if event.total is not None else "")
        return self._delta(event, "progress", f"{far} {event.message or ''}".rstrip() + "\n")

    def _displayed(self, event: Any) -> list[Delta]:
        return self._delta(event, "printed", text_of([event.output]))

    def _output_done(self, event: Any) -> list[Delta]:
        """Record the end of a command: its outcome and duration."""
        index = event.command_index
        number = self._numbers.get(event.output_index)
        growing = self.items.get(number) if number is not None else None
        if number is None or growing is None or f"outcome.{index}" in growing.parts:
            return []
        now = time.monotonic()
        seconds, growing.touched = now - growing.touched, now
        self.changed.add(number)
        parts = [(f"seconds.{index}", f"{seconds:.1f}")]
        for content in event.output:
            parts += _output_parts(index, content.to_dict(mode="json", warnings=False))
        return [delta for part, text in parts for delta in self._complete(number, part, text)]


_READERS: dict[str, Callable[[Progress, Any], list[Delta]]] = {
    "response.created": Progress._created,
    "response.output_item.added": Progress._added,
    "response.output_item.done": Progress._item_done,
    "response.output_text.delta": Progress._text,
    "response.refusal.delta": Progress._text,
    "response.reasoning_summary_text.delta": Progress._summary,
    "response.shell_call_command.delta": Progress._command,
    "response.code_interpreter_call.interpreting": Progress._code_begun,
    "agent_kernel.code_interpreter_call.printed": Progress._printed,
    "agent_kernel.code_interpreter_call.displayed": Progress._displayed,
    "agent_kernel.mcp_call.progress": Progress._reported,
    "response.shell_call_output_content.delta": Progress._output,
    "response.shell_call_output_content.done": Progress._output_done,
}


def _json(item: Any) -> Mapping[str, Any]:
    """Return an event's item as JSON. Items of types unknown to the SDK may already be mappings."""
    return item if isinstance(item, Mapping) else item.to_dict(mode="json", warnings=False)


def _field(event_type: str, kind: str) -> str:
    """Return the field of a delta: `arguments` for `response.x_call_arguments.delta`."""
    name = event_type.removeprefix("response.").removesuffix(".delta").removeprefix(kind)
    return name.strip("._").rpartition("call_")[2].rpartition(".")[2] or "output"


def _final_parts(item: Mapping[str, Any]) -> list[tuple[str, str]]:
    if item["type"] == "shell_call":
        commands = (item.get("action") or {}).get("commands") or []
        return [(f"command.{number}", command) for number, command in enumerate(commands)]
    if item["type"] == "shell_call_output":
        return [
            part
            for number, content in enumerate(item.get("output") or [])
            for part in _output_parts(number, content)
        ]
    if item["type"] == "code_interpreter_call":
        outputs = outputs_of(item)
        failed = item.get("status") == "failed" or any(each.get("output_type") == "error" for each in outputs)
        return [
            ("code", str(item.get("code") or "")),
            ("printed", text_of(outputs)),
            ("outcome", stop_of(item) or ("failed" if failed else "")),
        ]
    if item["type"] == "computer_call":
        return [("actions", "\n".join(captions(item)))]
    if item["type"] == "computer_call_output":
        return [("said", "\n".join(said_in(item)))]
    if item["type"] in ("message", "reasoning", "mcp_approval_request", "mcp_approval_response"):
        return []
    return [(field, readable(item[field])) for field in (*ARGUMENTS, *OUTPUTS) if item.get(field)]


def _output_parts(number: int, content: Mapping[str, Any]) -> list[tuple[str, str]]:
    outcome = content.get("outcome") or {}
    ended = "timed out" if outcome.get("type") == "timeout" else f"exit {outcome.get('exit_code')}"
    stderr = str(content.get("stderr") or "")
    if (found := stopped(stderr, outcome.get("exit_code"))) is not None:
        stderr, ended = found
    return [
        (f"stdout.{number}", content.get("stdout") or ""),
        (f"stderr.{number}", stderr),
        (f"outcome.{number}", ended),
    ]
