"""A table of untrusted strings as HTML, Markdown and plain text. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from agent_kernel.kernel.render.text import clean, escape, markdown_text

MAX_CELL = 80
"""The number of characters shown of a cell."""

_NUMBER = re.compile(r"[+-]?(\d[\d,]*(\.\d+)?|\.\d+)([eE][+-]?\d+)?|nan|NaN|NA|")


def short(cell: str) -> str:
    """Return a cell as one line of bounded length."""
    line = " ".join(clean(cell).split())
    return line if len(line) <= MAX_CELL else line[: MAX_CELL - 1] + "…"


def numeric_columns(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[bool]:
    """Return, per column, whether it holds only numbers or empty cells and is aligned right."""
    return [
        any(row[column].strip() for row in rows if column < len(row))
        and all(_NUMBER.fullmatch(row[column].strip()) for row in rows if column < len(row))
        for column in range(len(header))
    ]


def _aligned(rows: Sequence[Sequence[str]], width: int) -> list[list[str]]:
    return [[short(cell) for cell in [*row, *[""] * (width - len(row))][:width]] for row in rows]


def html_table(header: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str] = ()) -> str:
    """Return an HTML table of class `dataframe`, which front ends style. `notes` appear under the names."""
    right = ["right" if number else "left" for number in numeric_columns(header, rows)]

    def line(cells: Sequence[str], tag: str, style: str = "") -> str:
        inner = "".join(
            f'<{tag} style="text-align: {side}{style}">{escape(cell)}</{tag}>'
            for cell, side in zip(cells, right, strict=True)
        )
        return f"<tr>{inner}</tr>"

    body = "\n".join(line(row, "td") for row in _aligned(rows, len(header)))
    head = line([short(cell) for cell in header], "th")
    if notes:
        head += "\n" + line(_aligned([notes], len(header))[0], "th", "; font-weight: normal; opacity: 0.75")
    opening = '<table border="1" class="dataframe">'
    return f"{opening}\n<thead>\n{head}\n</thead>\n<tbody>\n{body}\n</tbody>\n</table>"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str] = ()) -> str:
    """Return a GitHub Markdown table; `notes` are its first row, in italics."""
    rule = ["---:" if number else ":---" for number in numeric_columns(header, rows)]
    lines = [[markdown_text(short(cell)) or " " for cell in header], rule]
    if notes:
        lines.append(
            [f"*{markdown_text(note)}*" if note else "" for note in _aligned([notes], len(header))[0]]
        )
    lines += [[markdown_text(cell) for cell in row] for row in _aligned(rows, len(header))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def plain_table(header: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str] = ()) -> str:
    """Return a table aligned with spaces; `notes` appear under the names."""
    numbers = numeric_columns(header, rows)
    lines = [[short(cell) for cell in header], *_aligned([notes] if notes else [], len(header))]
    lines += _aligned(rows, len(header))
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]

    def cell(text: str, column: int) -> str:
        return text.rjust(widths[column]) if numbers[column] else text.ljust(widths[column])

    return "\n".join(
        "  ".join(cell(text, column) for column, text in enumerate(line)).rstrip() for line in lines
    )
