"""Mime bundles: the same output in HTML, in Markdown and in plain text.

Each is readable alone: notebooks are read in front ends, on Git hosts that drop all styles, and in terminals.
The HTML uses only what JupyterLab's sanitiser keeps, and takes its colours from the page.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from agent_kernel.kernel.render.markdown import to_html, to_inline_html, to_safe_markdown
from agent_kernel.kernel.render.mathematics import IGNORED
from agent_kernel.kernel.render.text import escape

METADATA_KEY = "agent_kernel"

_OPENING = f'<div class="{IGNORED}">'

# Exporters put HTML into Markdown, where a blank line ends it: the rest would be parsed as Markdown.
_BLANK_LINE = re.compile(r"\n(?=[ \t]*\n)")


@dataclass(frozen=True)
class Bundle:
    """The content of one `display_data`: representations by mime type, and metadata."""

    data: dict[str, Any]
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ShownItem:
    """One output in HTML, Markdown and plain text."""

    html: str
    markdown: str
    plain: str

    def bundle(self, **more: Any) -> Bundle:
        """Return the bundle; `more` goes to the metadata under the kernel's key."""
        html = f"{_OPENING}{_BLANK_LINE.sub('&#10;', self.html)}</div>"
        data = {"text/html": html, "text/markdown": self.markdown, "text/plain": self.plain}
        return Bundle(data, {METADATA_KEY: more} if more else {})


def anchored(bundle: Bundle, anchor: str) -> Bundle:
    """Return the bundle as a target of links to `anchor`.

    JupyterLab's sanitiser turns the `id` into an attribute that its links find as well.
    """
    html = str(bundle.data.get("text/html", ""))
    if not html.startswith(_OPENING):
        return bundle
    target = f'<div id="{anchor}"{html[len("<div") :]}'
    return Bundle({**bundle.data, "text/html": target}, bundle.metadata)


# --- pieces of HTML ------------------------------------------------------------------------------------

MONO = "font-family: monospace; font-size: 12px; line-height: 1.45; white-space: pre-wrap"
PRE = f"margin: 0; padding: 0; border: none; background-color: transparent; color: inherit; {MONO}"
PRINTED = PRE.replace("white-space: pre-wrap", "white-space: pre; overflow-x: auto")
_BAR = "margin: 2px 0; padding: 4px 10px; border-left: 3px solid "
CALL = f"{_BAR}rgba(66, 133, 244, 0.7); background-color: rgba(128, 128, 128, 0.1)"
OUTPUT = f"{_BAR}rgba(128, 128, 128, 0.35)"
QUIET = f"{_BAR}transparent"
_NOTICE = f"{_BAR}rgba(244, 160, 0, 0.9); background-color: rgba(244, 160, 0, 0.1)"
ERRORS = "border-left: 2px solid rgba(219, 68, 55, 0.5); padding-left: 8px; margin: 2px 0"
SUMMARY = "cursor: pointer; opacity: 0.75; font-size: 12px"


def pre(text: str) -> str:
    """Return preformatted text, escaped."""
    return pre_html(escape(text))


def pre_html(body_html: str) -> str:
    """Return preformatted HTML; `body_html` is not escaped."""
    return f'<pre style="{PRE}">{body_html}</pre>'


def printed_html(body_html: str) -> str:
    """Return what a program printed: wide lines scroll, so that tables of text stay tables."""
    return f'<pre style="{PRINTED}">{body_html}</pre>'


def details(summary_html: str, body_html: str) -> str:
    """Return a folded block; both arguments are HTML."""
    return f'<details><summary style="{SUMMARY}">{summary_html}</summary>{body_html}</details>'


def box(style: str, body_html: str) -> str:
    """Return a block with a bar on its left."""
    return f'<div style="{style}">{body_html}</div>'


# --- what the kernel itself has to say -------------------------------------------------------------------


def note(text: str) -> Bundle:
    """Return an unobtrusive line from the kernel. `text` is plain; backticks mark `code`."""
    quiet = f'<span style="opacity: 0.8; font-size: 13px">{to_inline_html(text)}</span>'
    return ShownItem(box(QUIET, quiet), to_safe_markdown(text), text).bundle()


def notice(text: str) -> Bundle:
    """Return a prominent paragraph from the kernel."""
    quoted = "\n".join(f"> {line}".rstrip() for line in to_safe_markdown(text).split("\n"))
    return ShownItem(box(_NOTICE, to_html(text)), quoted, text).bundle()


def table(
    header: Sequence[str], rows: Sequence[Sequence[str]], caption: str = "", notes: Sequence[str] = ()
) -> ShownItem:
    """Return a small table. Cells and `notes` (shown under the names) are untrusted text.

    `caption` is trusted Markdown.
    """
    from agent_kernel.kernel.render.tables import html_table, markdown_table, plain_table

    top = f"{caption}\n\n" if caption else ""
    return ShownItem(
        html=(f'<div style="margin: 4px 0">{to_inline_html(caption)}</div>' if caption else "")
        + html_table(header, rows, notes),
        markdown=top + markdown_table(header, rows, notes),
        plain=(f"{caption}\n" if caption else "") + plain_table(header, rows, notes),
    )
