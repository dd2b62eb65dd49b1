"""HTML that code displays: tables and simple text within the notebook, all else in an isolated frame. Pure.

Tables of pandas and polars, and other HTML of harmless tags, are written again from their parts: only known
tags, no attributes but those named here, and all text escaped. HTML that has anything else, such as styles of
its own, pictures or scripts, is shown in the frame of `files.pages`, where nothing runs and nothing leaves.
"""

from __future__ import annotations

import re
from html import unescape

from agent_kernel.kernel.render.files import pages
from agent_kernel.kernel.render.stored import whole
from agent_kernel.kernel.render.text import escape

MAX_CHARACTERS = 1_000_000
"""HTML that is longer is not shown."""

_MAX_READ = 200_000
"""HTML that is longer is not read for its tags."""

MAX_DEPTH = 60

_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)((?:[^<>\"']|\"[^\"<>]*\"|'[^'<>]*')*)>")
"""A tag that all readers of HTML see alike. Nothing is read twice, so its time is linear."""
_ATTRIBUTE = re.compile(r"""(?:^|\s)([a-zA-Z]+)=("[^"]*"|'[^']*')""")
_STYLES = re.compile(r"<style(?: scoped)?>([^<]*)</style>")

_VOID = frozenset({"br", "hr", "col"})
_NAMES = (
    "table thead tbody tfoot tr th td caption colgroup div span p b strong i em u s code pre samp kbd small "
    "sub sup h1 h2 h3 h4 h5 h6 ul ol li dl dt dd blockquote details summary"
)
_TAGS = _VOID | frozenset(_NAMES.split())
_SPANS = ("colspan", "rowspan")
_PROPERTIES = frozenset({"font-weight", "font-style", "text-align"})
"""Not those of colours: they could hide text."""
_VALUE = re.compile(r"[a-z]{1,10}|[1-9]00")

_BASE = (
    "<style>body { margin: 4px; font: 13px/1.4 sans-serif; overflow: auto } "
    "table { border-collapse: collapse; font-size: 12px } th, td { padding: 3px 8px }</style>"
)
PLAIN = "agent-kernel-plain"
"""The class of a frame with text and tables only, such as styled ones: dark themes may invert its colours."""

_PICTURE = re.compile(r"<(?:img|svg|picture|video|canvas|input)\b|url\(", re.IGNORECASE)
_LINE, _MARGIN, _HIGHEST = 27, 40, 400
_BLOCK = re.compile(r"<(?:tr|p|h[1-6]|li|br|div|dt|dd)\b", re.IGNORECASE)


def shown_html(html: str) -> str:
    """Return HTML that is safe to show, for any HTML up to `MAX_CHARACTERS`."""
    html = whole(html)
    written = _Writer().written(html) if len(html) <= _MAX_READ else None
    return written if written is not None else _framed(html)


def _framed(html: str) -> str:
    height = min(_HIGHEST, _MARGIN + _LINE * len(_BLOCK.findall(html)))
    has_pictures = _PICTURE.search(html) is not None
    return pages.isolated(_BASE + html, max(height, 3 * _MARGIN), "" if has_pictures else PLAIN)


class _Writer:
    """Writes harmless HTML again, with all tags closed."""

    def __init__(self) -> None:
        self._found: list[str] = []
        self._open: list[str] = []

    def written(self, html: str) -> str | None:
        """Return the HTML, None if it has anything that is not known to be harmless."""
        html = _STYLES.sub(lambda style: "" if _is_of_tables(style[1]) else style[0], html)
        place = 0
        while (start := html.find("<", place)) >= 0:
            self._text(html[place:start])
            tag = _TAG.match(html, start)
            if tag is None or not self._tag(tag[2].lower(), tag[3], closes=bool(tag[1])):
                return None
            place = tag.end()
        self._text(html[place:])
        return "".join(self._found) + "".join(f"</{tag}>" for tag in reversed(self._open))

    def _text(self, text: str) -> None:
        self._found.append(escape(unescape(text)))

    def _tag(self, tag: str, attributes: str, *, closes: bool) -> bool:
        """Write a tag. Return whether it is known."""
        if tag not in _TAGS or len(self._open) >= MAX_DEPTH:
            return False
        if not closes:
            self._found.append(f"<{tag}{_attributes(tag, attributes)}>")
            if tag not in _VOID:
                self._open.append(tag)
        elif tag in self._open:
            while self._open:
                closed = self._open.pop()
                self._found.append(f"</{closed}>")
                if closed == tag:
                    break
        return True


def _is_of_tables(style: str) -> bool:
    """Return whether this is the style that pandas and polars add to tables: front ends have their own."""
    selectors = [rule.partition("{")[0] for rule in style.split("}")[:-1]]
    return all(each.strip().startswith(".dataframe") for rule in selectors for each in rule.split(","))


def _attributes(tag: str, given: str) -> str:
    found = ' border="1" class="dataframe"' if tag == "table" else ""
    for name, value in _ATTRIBUTE.findall(given):
        name, value = name.lower(), value[1:-1].strip()
        if name in _SPANS and re.fullmatch(r"[1-9][0-9]{0,3}", value):
            found += f' {name}="{value}"'
        elif name == "style" and (style := _style(value)):
            found += f' style="{style}"'
    return found


def _style(value: str) -> str:
    pairs = [pair.partition(":")[::2] for pair in value[:2000].split(";")]
    kept = [(name.strip().lower(), value.strip()) for name, value in pairs]
    return "; ".join(
        f"{name}: {value}" for name, value in kept if name in _PROPERTIES and _VALUE.fullmatch(value)
    )
