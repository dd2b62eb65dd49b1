"""Wraps the pages of docs/ at 100 columns: `python .ci/wrap_docs.py`. What they look like stays the same.

Paragraphs and list items are wrapped; tables, code, headings and pictures are left alone, and a code span or
a word that is longer stays whole.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
COLUMNS = 100

FENCE = re.compile(r"^\s*(```|~~~)")
ITEM = re.compile(r"^(\s*(?:[-*+]|\d+\.)\s+)")
APART = re.compile(r"^\s*(\||#|<|!\[|>|\[[^\]]+\]:)")
"""Lines that are no part of a paragraph."""
MARKS = re.compile(r" (?=(?:[-*+#>|]|\d+\.)(?: |$)|[#>|<])")
"""Spaces after which a line would begin as something else than text."""
CODE = re.compile(r"`[^`\n]+`")
KEPT = "\0"


def wrapped(text: str) -> str:
    """Return a page with its paragraphs wrapped."""
    return "\n".join(_lines(text.split("\n")))


def _lines(lines: list[str]) -> Iterator[str]:
    held: list[str] = []
    fenced = False
    for line in lines:
        fence = bool(FENCE.match(line))
        if fenced or fence or not line.strip() or APART.match(line):
            yield from _paragraph(held)
            held = []
            yield line
            fenced ^= fence
        else:
            if ITEM.match(line):
                yield from _paragraph(held)
                held = []
            held.append(line)
    yield from _paragraph(held)


def _paragraph(lines: list[str]) -> list[str]:
    if all(len(line) <= COLUMNS for line in lines):
        return lines
    item = ITEM.match(lines[0])
    first = item[1] if item else lines[0][: len(lines[0]) - len(lines[0].lstrip())]
    text = " ".join([lines[0][len(first) :], *lines[1:]])
    text = re.sub(r"\s+", " ", text).strip()
    text = CODE.sub(lambda found: found[0].replace(" ", KEPT), text)
    text = MARKS.sub(KEPT, text)
    found = textwrap.wrap(
        text,
        COLUMNS,
        initial_indent=first,
        subsequent_indent=" " * len(first),
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace(KEPT, " ") for line in found]


def main() -> None:
    """Wrap every page."""
    for path in sorted(DOCS.rglob("*.md")):
        path.write_text(wrapped(path.read_text()))


if __name__ == "__main__":
    main()
