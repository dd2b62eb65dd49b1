"""Plays calls of a model in both dialects, whole and in pieces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.runtime.played import Upstream


@dataclass(frozen=True)
class Called:
    """A call as a model writes it. `arguments` is usually text; `call_id` None leaves it out."""

    name: str | None
    arguments: Any
    call_id: str | None = "call_1"


SHAPES = ("chat", "chat in pieces", "responses", "responses in pieces")


class Player:
    """Answers requests in one of the `SHAPES`; `model` is the model to ask for."""

    def __init__(self, upstream: Upstream, shape: str) -> None:
        self.upstream = upstream
        self.dialect, _, how = shape.partition(" ")
        self.in_pieces = bool(how)
        self.model = f"{self.dialect}/m"

    def calls(self, *called: Called, text: str = "") -> None:
        """Answer the next request with calls, after some text."""
        if self.dialect == "chat":
            said = [{"content": text}] if text else []
            deltas = [delta for place, each in enumerate(called) for delta in self._chat(place, each)]
            self.upstream.says(*said, *deltas, finish="tool_calls" if called else "stop")
        else:
            said = [_message(text)] if text else []
            self.upstream.streams([*said, *map(_item, called)], in_pieces=self.in_pieces)

    def speaks(self, text: str) -> None:
        """Answer the next request with text."""
        self.calls(text=text)

    def reasons(self, text: str) -> None:
        """Answer the next request with reasoning alone."""
        if self.dialect == "chat":
            self.upstream.says({"reasoning_content": text})
        else:
            summary = [{"type": "summary_text", "text": text}]
            self.upstream.streams([{"type": "reasoning", "id": "rs", "summary": summary}], in_pieces=False)

    def results(self) -> list[str]:
        """Return the results of calls in the last request, as the model reads them."""
        request = self.upstream.requests[-1]
        if self.dialect == "chat":
            return [each["content"] for each in request["messages"] if each["role"] == "tool"]
        return [each["output"] for each in request["input"] if each.get("type") == "function_call_output"]

    def _chat(self, place: int, called: Called) -> list[dict[str, Any]]:
        arguments = called.arguments
        pieces = [arguments]
        if self.in_pieces and isinstance(arguments, str):
            pieces = [arguments[start : start + 3] for start in range(0, len(arguments), 3)] or [""]
        deltas = []
        for number, piece in enumerate(pieces):
            function = {"arguments": piece, **({"name": called.name} if number == 0 else {})}
            call = {"index": place, "type": "function", "function": function}
            if called.call_id is not None and number == 0:
                call["id"] = called.call_id
            deltas.append({"tool_calls": [call]})
        return deltas


def _item(called: Called) -> dict[str, Any]:
    return {
        "type": "function_call",
        "id": f"fc_{called.call_id}",
        "call_id": called.call_id,
        "name": called.name,
        "arguments": called.arguments,
        "status": "completed",
    }


def _message(text: str) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": []}
    return {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": [part]}
