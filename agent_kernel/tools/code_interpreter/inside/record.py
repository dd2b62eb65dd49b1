"""The outputs of one cell, in order and bounded, each in the form of Jupyter's messages."""

from __future__ import annotations

import collections

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

MOST = 50
"""Displays of one cell."""

MOST_BYTES = 4 << 20
"""Bytes of one representation of a display, and of all displays of a cell twice as many."""

LONGEST_TEXT = 10_000
"""Characters of the text of a display that has other representations."""

_MOST_ENTRIES = 500
_MOST_ERRORS = 10
_MOST_LINES = 60
_LONGEST_LINE = 2000
_TEXT = "text/plain"


class CellRecord:
    """Keeps what a cell printed, displayed and raised. `limit` is in characters of all texts.

    Of longer texts the head and the tail are kept. `left_out` counts displays that are not kept. `live` gets
    each output at once, and `clear_output` too.
    """

    def __init__(self, limit: int, live: Callable[[dict[str, Any]], None] | None = None) -> None:
        self._limit = limit
        self._live = live
        self._begin()

    def _begin(self) -> None:
        self.left_out = 0
        self._clear_next = False
        self._room = self._limit - self._limit // 2
        self._bytes = 2 * MOST_BYTES
        self._displays = self._errors = 0
        self._head: list[dict[str, Any]] = []
        self._middle: list[dict[str, Any]] = []
        self._tail: collections.deque[dict[str, Any]] = collections.deque()
        self._tail_length = self._characters_left_out = 0
        self._by_id: dict[str, dict[str, Any]] = {}

    def _cleared(self) -> None:
        if self._clear_next:
            self._begin()

    def clear(self, wait: bool) -> None:
        """Drop all outputs so far; `wait`: when the next one comes."""
        self._pass_on({"output_type": "clear_output", "wait": wait})
        if wait:
            self._clear_next = True
        else:
            self._begin()

    def _pass_on(self, output: dict[str, Any]) -> None:
        if self._live is not None:
            self._live(output)

    def text(self, name: str, text: str) -> None:
        """Add what was printed. `name` is `stdout` or `stderr`."""
        if not text:
            return
        self._cleared()
        self._pass_on({"output_type": "stream", "name": name, "text": text})
        head, text = text[: self._room], text[self._room :]
        if head:
            self._room -= len(head)
            _append(self._head, name, head)
        if text:
            self._characters_left_out += max(0, len(text) - self._limit // 2)
            text = text[-(self._limit // 2) :]
            _append(self._tail, name, text)
            self._tail_length += len(text)
            self._trim()

    def _trim(self) -> None:
        """Drop from the start of the tail what is over the limit; displays among it stay."""
        over = self._tail_length - self._limit // 2
        while over > 0:
            first = self._tail[0]
            if first["output_type"] != "stream":
                self._middle.append(self._tail.popleft())
                continue
            pieces = first["text"]
            if len(pieces[0]) > over:
                break
            dropped = len(pieces.popleft())
            over -= dropped
            self._tail_length -= dropped
            self._characters_left_out += dropped
            if not pieces:
                self._tail.popleft()

    def display(self, kind: str, data: dict[str, str], metadata: dict[str, Any], name: str | None) -> None:
        """Add a display. `kind` is `display_data` or `execute_result`, `name` its display id."""
        self._cleared()
        text = data.get(_TEXT, "")
        if list(data) == [_TEXT] and name is None:
            entries = len(self._head) + len(self._tail)
            if len(text) >= self._room or entries >= _MOST_ENTRIES:
                self.text("stdout", text + "\n")
                return
            self._room -= len(text) + 1
        elif not self._fits(data):
            return
        else:
            self._displays += 1
        entry = {"output_type": kind, "data": data, "metadata": metadata}
        if name is not None:
            entry["transient"] = {"display_id": name}
            self._by_id[name] = entry
        self._pass_on(dict(entry))
        (self._head if self._room else self._tail).append(entry)

    def update(self, name: str, data: dict[str, str], metadata: dict[str, Any]) -> None:
        """Replace the display with that display id, also of an earlier cell."""
        self._cleared()
        if name not in self._by_id:
            self.display("update_display_data", data, metadata, name)
            return
        entry = self._by_id[name]
        self._displays -= 1
        self._bytes += _size(entry["data"])
        fits = self._fits(data)
        self._displays += 1
        if fits:
            entry.update(data=data, metadata=metadata)
            self._pass_on({**entry, "output_type": "update_display_data"})
        else:
            self._bytes -= _size(entry["data"])

    def _fits(self, data: dict[str, str]) -> bool:
        """Shorten the display's text and drop what is too large. Return whether something is left."""
        for kind, value in list(data.items()):
            if kind == _TEXT:
                data[kind] = shortened(value, LONGEST_TEXT)
            elif len(value) > (MOST_BYTES * 4 + 2) // 3:  # base64 makes it longer
                del data[kind]
                self.left_out += 1
        if self._displays >= MOST or _size(data) > self._bytes:
            self.left_out += 1
            return False
        self._bytes -= _size(data)
        return bool(data)

    def error(self, name: str, value: str, lines: list[str]) -> None:
        """Add an exception with the lines of its traceback."""
        self._cleared()
        if self._errors >= _MOST_ERRORS:
            return
        self._errors += 1
        lines = [line for each in lines for line in each.split("\n")]
        if len(lines) > _MOST_LINES:
            half = _MOST_LINES // 2
            left_out = f"[... {len(lines) - 2 * half} lines left out ...]"
            lines = [*lines[:half], left_out, *lines[-half:]]
        lines = [shortened(line, _LONGEST_LINE) for line in lines]
        value = shortened(value, _LONGEST_LINE)
        entry = {"output_type": "error", "ename": name[:200], "evalue": value, "traceback": lines}
        self._pass_on(dict(entry))
        (self._head if self._room else self._tail).append(entry)

    def outputs(self) -> list[dict[str, Any]]:
        """Return the outputs, with a line about the characters that are left out."""
        found: list[dict[str, Any]] = []
        over = self._tail_length - self._limit // 2
        if over > 0:
            self._cut_first(over)
        for entry in [*self._head, *self._gap(), *self._middle, *self._tail]:
            if entry["output_type"] != "stream":
                found.append(entry)
            elif found and found[-1].get("name") == entry["name"]:
                found[-1]["text"] += "".join(entry["text"])
            else:
                found.append({**entry, "text": "".join(entry["text"])})
        return found

    def _cut_first(self, over: int) -> None:
        pieces = self._tail[0]["text"]
        pieces[0] = pieces[0][over:]
        self._tail_length -= over
        self._characters_left_out += over

    def _gap(self) -> list[dict[str, Any]]:
        if not self._characters_left_out:
            return []
        streams = [each["name"] for each in self._head if each["output_type"] == "stream"]
        name = streams[-1] if streams else "stdout"
        return [{"output_type": "stream", "name": name, "text": [_gap(self._characters_left_out)]}]


def _append(entries: Any, name: str, text: str) -> None:
    last = entries[-1] if entries else {}
    if last.get("output_type") == "stream" and (last["name"] == name or len(entries) >= _MOST_ENTRIES):
        last["text"].append(text)
    else:
        entries.append({"output_type": "stream", "name": name, "text": collections.deque([text])})


def _size(data: dict[str, str]) -> int:
    return sum(map(len, data.values())) * 3 // 4


def _gap(count: int) -> str:
    return f"\n[... {count} characters left out ...]\n"


def shortened(text: str, limit: int) -> str:
    """Return the head and the tail of a text, with a line about what is left out."""
    if len(text) <= limit:
        return text
    return text[: limit - limit // 2] + _gap(len(text) - limit) + text[-(limit // 2) :]
