"""Print turns in a terminal: the prompt, the commands, the first lines of their output, the answer."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from typing import Any, TextIO

ITEM_MIME = "application/vnd.agent-kernel.item+json"
COMMAND_LINES = 3
OUTPUT_LINES = 8
WIDTH = 110

_BOLD, _DIM, _BLUE, _RED = "1", "2", "34", "31"
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""Control characters, removed from untrusted text: escape sequences begin with one of these."""


class Transcript:
    """Prints Jupyter protocol messages for people to read, in colour if `out` is a terminal."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._colours = out.isatty()

    def cell(self, kind: str, source: str) -> None:
        """Begin a cell: leave out Markdown cells, show a prompt as it was written."""
        if kind == "code":
            self._print()
            for line in source.strip().splitlines():
                self._print(self._styled(_BOLD, f"▶ {line}"))

    def output(self, kind: str, content: Mapping[str, Any]) -> None:
        """Show an iopub message if it is an output."""
        if kind in ("display_data", "execute_result"):
            data = content["data"]
            item = data.get(ITEM_MIME)
            if item is None:
                self._prose(str(data.get("text/plain", "")), "  ", _DIM)
            else:
                self._item(item, str(data.get("text/plain", "")))
        elif kind == "stream":
            self._block(content["text"], "  ", _DIM)
        elif kind == "error":
            self._prose(content["evalue"], "  ", _RED)

    def _item(self, item: Mapping[str, Any], plain: str) -> None:
        match item.get("type"):
            case "shell_call":
                for command in item["action"]["commands"]:
                    first, *rest = _lines(command, COMMAND_LINES)
                    self._print(self._styled(_BLUE, f"  $ {first}"))
                    for line in rest:
                        self._print(self._styled(_BLUE, f"    {line}"))
            case "shell_call_output":
                for part in item["output"]:
                    for name in ("stdout", "stderr"):
                        if part.get(name):
                            self._block(part[name], "    ", _DIM, OUTPUT_LINES)
            case "reasoning":
                self._prose(plain.partition("\n")[2], "  · ", _DIM)
            case _:
                self._prose(plain, "  ", None)

    def _prose(self, text: str, indent: str, style: str | None) -> None:
        """Print text, wrapping long lines. Lines of a table or list stay as they are if they fit."""
        wrapped = [textwrap.fill(line, WIDTH, break_on_hyphens=False) for line in text.split("\n")]
        self._block("\n".join(wrapped), indent, style)

    def _block(self, text: str, indent: str, style: str | None, most: int = 40) -> None:
        for line in _lines(text, most):
            self._print(self._styled(style, indent + line))

    def _styled(self, style: str | None, text: str) -> str:
        return f"\x1b[{style}m{text}\x1b[0m" if self._colours and style else text

    def _print(self, line: str = "") -> None:
        print(line, file=self._out, flush=True)


def _lines(text: str, most: int) -> list[str]:
    """Return at most `most` lines that are safe to print; the last says how many were left out."""
    clean = [_CONTROL.sub("�", line.replace("\t", "    ").rstrip()) for line in text.strip("\n").split("\n")]
    lines = [line if len(line) <= WIDTH else line[: WIDTH - 1] + "…" for line in clean]
    if len(lines) <= most + 1:
        return lines
    return [*lines[:most], f"… {len(lines) - most} more lines"]
