"""Mark the figures of an answer with their notes, in HTML, Markdown and plain text. Pure.

Each figure first gets a mark: one private character behind its first digit, before the Markdown is rendered.
A mark that comes out in text becomes a link or a footnote; one in code, a formula or a link is dropped. If
the marks would change anything else, the answer is shown without any.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from agent_kernel.kernel.provenance.figures import figures
from agent_kernel.kernel.provenance.notes import UNSOURCED, Note, Notes
from agent_kernel.kernel.provenance.numbers import Number
from agent_kernel.kernel.render.bundles import ShownItem
from agent_kernel.kernel.render.markdown import to_html, to_safe_markdown
from agent_kernel.kernel.render.text import clean, escape

if TYPE_CHECKING:
    from collections.abc import Iterator

    from markdown_it.token import Token

MOST_FIGURES = 500
"""Figures of one answer that are marked; the rest is left as it is."""

_FIRST = 0x100000  # where Unicode has private characters that no font uses
_MARK = re.compile(f"[{chr(_FIRST)}-{chr(_FIRST + MOST_FIGURES)}]")
_DASHED = "border-bottom: 1px dashed rgba(244, 160, 0, 0.9)"


def annotated(text: str, notes: Notes) -> ShownItem | None:
    """Return the answer with marks, and the notes below it; None if it has no figure to mark."""
    text = _MARK.sub("\N{REPLACEMENT CHARACTER}", clean(text))
    answer = _Answer(text)
    if not answer.figures or not answer.is_unchanged():
        return None
    html = answer.html(notes)
    below = notes.shown()
    if below is None:
        return None
    plain = answer.footnoted(answer.marked, "[{}]").rstrip()
    markdown = answer.footnoted(to_safe_markdown(answer.marked), r"\[{}\]").rstrip() + "\n\n"
    if not to_html(f"{markdown}.").endswith("<p>.</p>\n"):  # an answer that was cut off within code goes on
        markdown, below = to_safe_markdown(text), replace(below, markdown="")
    return ShownItem(html + below.html, markdown + below.markdown, f"{plain}\n\n{below.plain}")


class _Answer:
    """An answer in Markdown with a mark in each figure."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.figures = list(_some(figures(text), MOST_FIGURES))
        self.marked = _with_marks(text, self.figures)
        self._notes: dict[str, Note] = {}

    def is_unchanged(self) -> bool:
        """Return whether the marks are all that the rendered answer has in addition."""
        same = to_html(self.marked, _drop_marks) == to_html(self.text)
        return same and _MARK.sub("", to_safe_markdown(self.marked)) == to_safe_markdown(self.text)

    def html(self, notes: Notes) -> str:
        """Return the answer with a link or a line for each figure, and remember the note of each."""

        def rewrite(tokens: list[Token]) -> None:
            for block in tokens:
                if block.type == "inline" and block.children:
                    block.children = list(self._linked(block.children, notes))
            _drop_marks(tokens)

        return to_html(self.marked, rewrite)

    def _linked(self, children: Sequence[Token], notes: Notes) -> Iterator[Token]:
        links = 0
        for child in children:
            links += child.nesting if child.type in ("link_open", "link_close") else 0
            if child.type == "text" and not links:
                yield from self._pieces(child, notes)
            else:
                yield child

    def _pieces(self, text: Token, notes: Notes) -> Iterator[Token]:
        """Split a text at its figures."""
        content, position = text.content, 0
        for mark in _MARK.finditer(content):
            span = self._span(content, mark.start())
            note = notes.of(self._figure(mark[0])) if span is not None else None
            if span is None or note is None:
                continue
            self._notes[mark[0]] = note
            yield text.copy(content=content[position : span[0]])
            yield text.copy(type="html_inline", content=_html(self._figure(mark[0]), note))
            position = span[1]
        yield text.copy(content=content[position:])

    def footnoted(self, rendered: str, form: str) -> str:
        """Return a rendered answer with a footnote behind each figure that has a note."""
        pieces, position = [], 0
        for mark in _MARK.finditer(rendered):
            note, span = self._notes.get(mark[0]), self._span(rendered, mark.start())
            end = span[1] if span is not None and note is not None else mark.end()
            pieces.append(_MARK.sub("", rendered[position:end]))
            if span is not None and note is not None:
                pieces.append(form.format(note.label))
            position = end
        return "".join([*pieces, rendered[position:]])

    def _figure(self, mark: str) -> Number:
        return self.figures[ord(mark) - _FIRST]

    def _span(self, rendered: str, at: int) -> tuple[int, int] | None:
        """Return where the figure of the mark at this position begins and ends; None if it is not whole."""
        figure = self._figure(rendered[at])
        before = _behind_first_digit(figure)
        start, end = at - before, at + 1 + len(figure.text) - before
        whole = start >= 0 and rendered[start:at] + rendered[at + 1 : end] == figure.text
        return (start, end) if whole else None


def _with_marks(text: str, found: Sequence[Number]) -> str:
    pieces, position = [], 0
    for number, figure in enumerate(found):
        behind = figure.start + _behind_first_digit(figure)
        pieces += [text[position:behind], chr(_FIRST + number)]
        position = behind
    return "".join([*pieces, text[position:]])


def _behind_first_digit(figure: Number) -> int:
    return next(place for place, each in enumerate(figure.text, 1) if each.isdecimal())


def _drop_marks(tokens: Sequence[Token]) -> None:
    for token in tokens:
        token.content, token.info = _MARK.sub("", token.content), _MARK.sub("", token.info)
        _drop_marks(token.children or [])


def _some(found: Iterator[Number], most: int) -> Iterator[Number]:
    yield from (figure for figure, _ in zip(found, range(most), strict=False))


def _html(figure: Number, note: Note) -> str:
    text, title = escape(figure.text), escape(note.title)
    if note.href:
        return f'<a href="#{note.href}" title="{title}">{text}</a>'
    style = f' style="{_DASHED}"' if note.label == UNSOURCED else ""
    return f'<span title="{title}"{style}>{text}</span>'
