"""The text of HTML pages that a reader sees; text that styles hide is left out and counted."""

from __future__ import annotations

import html.parser
import re
from typing import Any, List, Optional, Tuple

from agent_kernel.runtime.vector_stores.inside.writing import letters
from agent_kernel.tools.web_search import page_text as styles

_BLOCKS = (
    "address article aside blockquote br dd div dl dt fieldset figcaption figure footer form h1 h2 h3 h4"
    " h5 h6 header hr li main nav ol p pre section table td th tr ul title"
)
BLOCKS = frozenset(_BLOCKS.split())
SKIPPED = frozenset(("script", "style", "template", "noscript", "svg", "math"))
_EMPTY = "area base br col embed hr img input link meta source track wbr"
EMPTY = frozenset(_EMPTY.split())
ENDS_ITSELF = {"li": {"li"}, "dt": {"dt", "dd"}, "dd": {"dt", "dd"}, "tr": {"tr", "td", "th"}}
ENDS_ITSELF.update({"td": {"td", "th"}, "th": {"td", "th"}, "option": {"option"}})
DEEPEST = 1000
"""Open elements that are followed."""

Attributes = List[Tuple[str, Optional[str]]]


class Open:
    """An element that is open: whether it is hidden, and whether its ground is not white."""

    def __init__(self, tag: str, hidden: bool, dark: bool) -> None:
        self.tag, self.hidden, self.dark = tag, hidden, dark


class VisibleText(html.parser.HTMLParser):
    """The text of an HTML page that a reader sees."""

    def __init__(self, sheets: List[str]) -> None:
        super().__init__(convert_charrefs=True)
        self.text: List[str] = []
        self.hidden = 0
        self._rules = styles.simple_rules(sheets)
        self._open: List[Open] = []
        self._skipped = 0

    def handle_starttag(self, tag: str, attrs: Attributes) -> None:
        if tag in SKIPPED:
            self._skipped += 1
        elif tag in BLOCKS:
            self.text.append("\n")
        self._end_before(tag)
        if tag not in EMPTY and len(self._open) < DEEPEST:
            self._open.append(self._entered(tag, dict(attrs)))

    def handle_startendtag(self, tag: str, attrs: Attributes) -> None:
        if tag in BLOCKS:
            self.text.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in SKIPPED:
            self._skipped = max(0, self._skipped - 1)
        elif tag in BLOCKS:
            self.text.append("\n")
        for place in range(len(self._open) - 1, -1, -1):
            if self._open[place].tag == tag:
                del self._open[place:]
                break

    def handle_data(self, data: str) -> None:
        if self._skipped:
            return
        if self._open and self._open[-1].hidden:
            self.hidden += letters(data)
        else:
            self.text.append(data)

    def _end_before(self, tag: str) -> None:
        """End the elements whose end may be left out before this one."""
        ended = ENDS_ITSELF.get(tag) or ({"p"} if tag in BLOCKS and tag != "br" else set())
        if self._open and self._open[-1].tag in ended:
            self._open.pop()

    def _entered(self, tag: str, given: Any) -> Open:
        outer = self._open[-1] if self._open else Open("", False, False)
        marks = {("", tag), ("#", given.get("id") or "")}
        marks.update((".", name) for name in (given.get("class") or "").split())
        declared = [style for mark, name, style in self._rules if (mark, name) in marks]
        style = ";".join([*declared, given.get("style") or ""])
        own_ground = given.get("bgcolor") is not None or styles.has_ground(style)
        hidden = "hidden" in given or styles.hides(style, on_white=not (outer.dark or own_ground))
        return Open(tag, outer.hidden or hidden, outer.dark or own_ground)


def text_of_page(text: str) -> Tuple[str, int]:
    """Return the text of a page, and how many characters were left out."""
    page = VisibleText(re.findall(r"<style[^>]*>(.*?)</style", text, re.I | re.S))
    page.feed(text)
    page.close()
    lines = [" ".join(line.split()) for line in "".join(page.text).split("\n")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip(), page.hidden
