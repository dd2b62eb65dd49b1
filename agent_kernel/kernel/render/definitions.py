"""A list of terms with their meanings, in the kernel's own words: nothing is cut. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from agent_kernel.kernel.render.bundles import ShownItem
from agent_kernel.kernel.render.markdown import to_inline_html
from agent_kernel.kernel.render.text import clean, escape, markdown_text

WIDTH = 78
"""The longest line of the plain text, in characters: a console has 80 columns."""

_CELL = "text-align: left; vertical-align: top"


def definitions(header: tuple[str, str], rows: Sequence[tuple[str, str]], caption: str) -> ShownItem:
    """Return the list as a table, and as lines of at most `WIDTH` characters in plain text.

    `caption` is trusted Markdown; the cells are text.
    """
    cells = [_row(row, "td") for row in rows]
    table = "\n".join(['<table border="1" class="dataframe">', _row(header, "th"), *cells, "</table>"])
    lines = [header, (":---", ":---"), *(tuple(map(markdown_text, row)) for row in rows)]
    listed = "\n".join(f"{_wrapped(term, '')}\n{_wrapped(meaning, '    ')}" for term, meaning in rows)
    return ShownItem(
        html=f'<div style="margin: 4px 0">{to_inline_html(caption)}</div>{table}',
        markdown="\n".join([caption, "", *(f"| {' | '.join(line)} |" for line in lines)]),
        plain=f"{_wrapped(caption, '')}\n\n{listed}",
    )


def _row(cells: Sequence[str], tag: str) -> str:
    inner = "".join(f'<{tag} style="{_CELL}">{escape(cell)}</{tag}>' for cell in cells)
    return f"<tr>{inner}</tr>"


def _wrapped(text: str, indent: str) -> str:
    return textwrap.fill(
        clean(text), WIDTH, initial_indent=indent, subsequent_indent=indent or "  ", break_on_hyphens=False
    )
