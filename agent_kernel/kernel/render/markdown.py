"""Make a model's Markdown safe: as HTML, and as Markdown for front ends that render it themselves.

Showing an answer must not run markup or fetch a picture (its address could leak data without a click). So
raw HTML becomes text, pictures become links, and links are limited to http, https and mailto. Formulas stay
formulas and money stays money: see `mathematics`.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from agent_kernel.kernel.render.mathematics import delimited, mathematics
from agent_kernel.kernel.render.text import clean

if TYPE_CHECKING:
    from collections.abc import Callable

    from markdown_it import MarkdownIt
    from markdown_it.token import Token

_ALLOWED_LINK = re.compile(r"(?:https?://|mailto:)", re.IGNORECASE)
_TAG_START = re.compile(r"<(?=[A-Za-z/!?])")
_ENTITY = re.compile(r"&(?=#|[A-Za-z][A-Za-z0-9]*;)")
_SCRIPT_LINK = re.compile(r"\b(javascript|vbscript|data|file)(\\?:)(?=\S)", re.IGNORECASE)


@cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"]).disable("image")
    # markdown-it calls this after decoding entities and escapes, so encoding cannot bypass it.
    parser.validateLink = lambda url: _ALLOWED_LINK.match(url) is not None  # type: ignore[method-assign]
    return parser


@cache
def _formula_parser() -> MarkdownIt:
    parser = _parser.__wrapped__()
    mathematics(parser)
    return parser


def to_html(markdown: str, rewrite: Callable[[list[Token]], None] | None = None) -> str:
    """Return HTML without the text's raw markup or pictures; links only to http, https and mailto.

    Only marked formulas are mathematics: the outer element of the output forbids it for all other dollars.
    `rewrite` may change the tokens of the text before they become HTML.
    """
    parser = _formula_parser()
    tokens = parser.parse(clean(markdown))
    if rewrite is not None:
        rewrite(tokens)
    rendered: str = parser.renderer.render(tokens, parser.options, {})
    return rendered


def to_inline_html(markdown: str) -> str:
    """Return the same HTML without formulas and without an enclosing paragraph."""
    rendered: str = _parser().renderInline(clean(markdown))
    return rendered


def to_safe_markdown(markdown: str) -> str:
    """Return the same text as Markdown in which HTML, pictures and script links are inert for any renderer.

    Plain fenced code blocks at the margin stay as they are: all renderers agree on those. Elsewhere a `<`
    that could begin a tag is written as `&lt;`, in code spans too: renderers differ about where those begin.
    Formulas are written in dollars, and other dollars with a backslash.
    """
    lines = clean(markdown).split("\n")
    kept = _plain_fences(lines)
    if "$" in markdown or "\\" in markdown:
        lines = delimited(lines, _formula_parser().parse("\n".join(lines)))
    return "\n".join(line if number in kept else _inert(line) for number, line in enumerate(lines))


def _plain_fences(lines: list[str]) -> set[int]:
    kept: set[int] = set()
    for token in _parser().parse("\n".join(lines)):
        if token.type != "fence" or token.level or token.map is None:
            continue
        first, end = token.map
        opened = re.fullmatch(r"(`{3,})[\w+.#-]*", lines[first])
        closed = lines[end - 1].rstrip() if end - 1 > first else ""
        if opened and re.fullmatch(r"`{3,}", closed) and len(closed) >= len(opened[1]):
            kept.update(range(first, end))
    return kept


def _inert(line: str) -> str:
    line = _ENTITY.sub("&amp;", line)
    line = _TAG_START.sub("&lt;", line)
    line = line.replace("![", "&#33;[")  # an entity: a preceding backslash could escape the backslash
    return _SCRIPT_LINK.sub(r"\1 \2", line)
