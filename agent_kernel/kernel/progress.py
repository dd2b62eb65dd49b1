"""A running turn, as its events tell it: items that grow. Pure; the live view and interrupts read it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from openai.types.responses import ResponseStreamEvent


@dataclass
class Growing:
    """An item under way.

    `parts` are its texts by name: `text` (message), `summary.N`, `command.N`, `stdout.N`, `stderr.N`,
    `outcome.N`.
    """

    kind: str
    parts: dict[str, str] = field(default_factory=dict)
    done: bool = False

    def item(self) -> dict[str, Any]:
        """What is there so far, in the shape of an output item without ids."""
        if self.kind == "reasoning":
            return {"type": self.kind, "summary": [{"text": text} for text in self._all("summary")]}
        if self.kind == "shell_call":
            return {"type": self.kind, "action": {"commands": self._all("command")}}
        if self.kind == "shell_call_output":
            indices = sorted({int(name.partition(".")[2]) for name in self.parts if "." in name})
            return {"type": self.kind, "output": [self._content(index) for index in indices]}
        return {"type": self.kind, "content": [{"type": "output_text", "text": self.parts.get("text", "")}]}

    def _all(self, prefix: str) -> list[str]:
        return [text for name, text in self.parts.items() if name.startswith(prefix + ".")]

    def _content(self, index: int) -> dict[str, Any]:
        texts = {name: self.parts.get(f"{name}.{index}", "") for name in ("stdout", "stderr")}
        return {**texts, "outcome": None}


@dataclass(frozen=True)
class Delta:
    """`text` was appended to `part` of item `index`, which had `position` characters before."""

    index: int
    part: str
    position: int
    text: str


class Progress:
    """All items of one response, by output index."""

    def __init__(self) -> None:
        self.items: dict[int, Growing] = {}

    def take(self, event: ResponseStreamEvent) -> list[Delta]:
        """Take in an event; return what it added. Events of other kinds add nothing."""
        reader = _READERS.get(event.type)
        return reader(self, event) if reader else []

    def _added(self, event: Any) -> list[Delta]:
        self.items[event.output_index] = Growing(event.item.type)
        return []

    def _item_done(self, event: Any) -> list[Delta]:
        """The final item is the record: whatever the deltas left out is added now."""
        item = event.item.to_dict(mode="json", warnings=False)
        growing = self.items.setdefault(event.output_index, Growing(item["type"]))
        growing.done = True
        added: list[Delta] = []
        for part, text in _final_parts(item):
            shown = growing.parts.get(part, "")
            if text.startswith(shown) and len(text) > len(shown):
                added += self._append(event.output_index, part, text[len(shown) :])
        return added

    def _append(self, index: int, part: str, text: str) -> list[Delta]:
        growing = self.items.get(index)
        if growing is None or not text:
            return []
        before = growing.parts.get(part, "")
        growing.parts[part] = before + text
        return [Delta(index, part, len(before), text)]

    def _text(self, event: Any) -> list[Delta]:
        return self._append(event.output_index, "text", event.delta)

    def _summary(self, event: Any) -> list[Delta]:
        return self._append(event.output_index, f"summary.{event.summary_index}", event.delta)

    def _command(self, event: Any) -> list[Delta]:
        return self._append(event.output_index, f"command.{event.command_index}", event.delta)

    def _output(self, event: Any) -> list[Delta]:
        index = event.command_index
        out = self._append(event.output_index, f"stdout.{index}", event.delta.stdout or "")
        return out + self._append(event.output_index, f"stderr.{index}", event.delta.stderr or "")


_READERS: dict[str, Callable[[Progress, Any], list[Delta]]] = {
    "response.output_item.added": Progress._added,
    "response.output_item.done": Progress._item_done,
    "response.output_text.delta": Progress._text,
    "response.refusal.delta": Progress._text,
    "response.reasoning_summary_text.delta": Progress._summary,
    "response.shell_call_command.delta": Progress._command,
    "response.shell_call_output_content.delta": Progress._output,
}


def _final_parts(item: dict[str, Any]) -> list[tuple[str, str]]:
    if item["type"] == "shell_call":
        commands = (item.get("action") or {}).get("commands") or []
        return [(f"command.{number}", command) for number, command in enumerate(commands)]
    if item["type"] == "shell_call_output":
        parts: list[tuple[str, str]] = []
        for number, content in enumerate(item.get("output") or []):
            outcome = content.get("outcome") or {}
            ended = "timed out" if outcome.get("type") == "timeout" else f"exit {outcome.get('exit_code')}"
            parts += [(f"stdout.{number}", content["stdout"]), (f"stderr.{number}", content["stderr"])]
            parts += [(f"outcome.{number}", ended)]
        return parts
    return []
