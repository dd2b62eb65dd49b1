"""A model's Markdown, made harmless: to HTML, and as Markdown for front ends that render it themselves.

Two things must not happen when an answer is shown: markup that runs, and a picture that is fetched (its
address would carry data out with no click). So raw HTML becomes text, pictures become links, and links lead
to http, https and mailto only.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from agent_kernel.kernel.render.text import clean

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

_ALLOWED_LINK = re.compile(r"(?:https?://|mailto:)", re.IGNORECASE)
_TAG_START = re.compile(r"<(?=[A-Za-z/!?])")
_ENTITY = re.compile(r"&(?=#|[A-Za-z][A-Za-z0-9]*;)")
_SCRIPT_LINK = re.compile(r"\b(javascript|vbscript|data|file)(\\?:)(?=\S)", re.IGNORECASE)


@cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"]).disable("image")
    # markdown-it asks this after decoding entities and escapes, so nothing can be smuggled past it.
    parser.validateLink = lambda url: _ALLOWED_LINK.match(url) is not None  # type: ignore[method-assign]
    return parser


def to_html(markdown: str) -> str:
    """HTML with no raw markup of the text's own, no pictures, and links to http, https and mailto only."""
    rendered: str = _parser().render(clean(markdown))
    return rendered


def to_inline_html(markdown: str) -> str:
    """Return the same for a text that is no paragraph of its own."""
    rendered: str = _parser().renderInline(clean(markdown))
    return rendered


def to_safe_markdown(markdown: str) -> str:
    """Return the same text as Markdown in which HTML, pictures and script links are inert for any renderer.

    Plain fenced code blocks at the margin stay as they are: all renderers agree on those. Elsewhere a `<`
    that could begin a tag is written as `&lt;`, in code spans too: renderers differ about where those begin.
    """
    lines = clean(markdown).split("\n")
    kept = _plain_fences(lines)
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
    line = line.replace("![", "&#33;[")  # an entity: a backslash could be escaped by one before it
    return _SCRIPT_LINK.sub(r"\1 \2", line)
