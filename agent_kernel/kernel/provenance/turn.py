"""The items of one turn as outputs: each output has an address, and each answer's figures lead to it."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import blake2b

from agent_kernel.kernel.provenance.evidence import Evidence
from agent_kernel.kernel.provenance.marks import annotated
from agent_kernel.kernel.provenance.notes import Notes
from agent_kernel.kernel.render.bundles import METADATA_KEY, Bundle, ShownItem, anchored
from agent_kernel.kernel.render.code.call import code_texts
from agent_kernel.kernel.render.items import Seconds, limit_of, render_all
from agent_kernel.kernel.render.message import (
    answer_html,
    message,
    message_text,
    sources_of,
    with_sources,
)
from agent_kernel.kernel.render.search.call import search_texts
from agent_kernel.kernel.render.search.cited import found_passages
from agent_kernel.kernel.render.search.web import web_texts
from agent_kernel.kernel.render.shell import shell_texts
from agent_kernel.kernel.render.stored import ITEM_MIME, Item

Texts = Callable[[Item, int], Iterator[str]]

TEXTS: dict[str, Texts] = {
    "shell_call_output": shell_texts,
    "code_interpreter_call": code_texts,
    "file_search_call": search_texts,
    "web_search_call": web_texts,
}
"""The items whose outputs are searched for figures, and the texts that the first output of one shows.

Further outputs are displays; they are searched as they are shown.
"""


class TurnItems:
    """Renders the items of one turn, in order.

    `asked` is the prompt: its figures need no source. `again` counts the turns with the same prompt before.
    With `linked` false, items are shown as they are.
    """

    def __init__(self, asked: str = "", again: int = 0, *, linked: bool = True) -> None:
        self._linked = linked
        self._key = [asked, again]
        self._evidence, self._given = Evidence(), Evidence()
        self._anchors: dict[int, str] = {}
        self._searches: list[Item] = []
        self.said(asked)

    def said(self, text: str) -> None:
        """Take what the user says: its figures need no source either."""
        self._given.add([text])

    def render(self, item: Item, seconds: Seconds = ()) -> Iterator[Bundle]:
        """Yield the outputs of the turn's next item; none for an item with nothing to show.

        `seconds` goes to the metadata of its first output.
        """
        if item.get("type") == "file_search_call":
            self._searches.append(item)
        answers = self._linked and item.get("type") == "message"
        bundles = render_all(item, self._message if answers else None, seconds)
        texts = TEXTS.get(str(item.get("type"))) if self._linked else None
        if texts is None:
            yield from (_with_cited(bundle, item) if answers else bundle for bundle in bundles)
            return
        for place, bundle in enumerate(bundles):
            displayed = [text_of_html(str(bundle.data.get("text/html", "")))]
            number = self._evidence.add(displayed if place else texts(item, limit_of(item)))
            self._anchors[number] = self._anchor(number, bundle)
            yield anchored(bundle, self._anchors[number])

    def _message(self, item: Item, limit: int) -> ShownItem | None:
        notes = Notes(self._evidence, self._given, self._anchors)
        passages = found_passages(self._searches)
        shown = annotated(message_text(item, limit), notes)
        if shown is None:
            return message(item, limit, passages)
        shown = with_sources(shown, item, passages)
        return replace(shown, html=answer_html(shown.html))

    def _anchor(self, number: int, bundle: Bundle) -> str:
        """Return the id of an output's element.

        Each output of a notebook has its own, and the same one when the notebook is run again from its top.
        """
        content = json.dumps([self._key, number, bundle.data.get(ITEM_MIME, bundle.data.get("text/html"))])
        return f"output-{blake2b(content.encode(), digest_size=6).hexdigest()}"


def _with_cited(bundle: Bundle, item: Item) -> Bundle:
    """Return an answer's bundle with what it cites in its metadata, as `message` lists it."""
    cited = [{"name": name, "files": ids} for name, ids in sources_of(item).items()]
    if not cited:
        return bundle
    about = {**bundle.metadata.get(METADATA_KEY, {}), "cited": cited}
    return Bundle(bundle.data, {**bundle.metadata, METADATA_KEY: about})


_INLINE = re.compile(r"<summary.*?</summary>|</?(?:a|b|code|em|i|span|strong)\b[^>]*>", re.DOTALL)
_BLOCK = re.compile(r"<[^>]*>")


def text_of_html(shown: str) -> str:
    """Return the text of a display as it is read, a line for each cell. `shown` is HTML of `render`."""
    if "<iframe" in shown:  # a page of its own, of which nothing is known to be visible
        return ""
    return html.unescape(_BLOCK.sub("\n", _INLINE.sub("", shown)))
