"""Render a search in documents: its queries and the passages it found. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from agent_kernel.kernel.render.bundles import QUIET, ShownItem, box, details, pre
from agent_kernel.kernel.render.stored import Item
from agent_kernel.kernel.render.text import clean, clip, code, escape

_QUERY = 200
"""Characters of each query that are shown."""


def file_search_call(item: Item, limit: int) -> ShownItem:
    """Render the search as one line, with its passages folded."""
    given = item.get("queries")
    queries = [" ".join(clean(clip(str(each), _QUERY)).split()) for each in given or ()]
    found = item.get("results")
    results = [each for each in found if isinstance(each, Mapping)] if isinstance(found, list) else None
    searched = "; ".join(queries) or "nothing"
    if results is None:
        ours = item.get("agent_kernel")
        why = ours.get("error") if isinstance(ours, Mapping) else None
        end = clean(clip(str(why), _QUERY)) if isinstance(why, str) else "The passages were not kept."
    else:
        end = "1 passage" if len(results) == 1 else f"{len(results)} passages"
        end += ", from outside" if results else ""
    text = clip("\n\n".join(_passages(results or ())), limit)
    line = f"Searched the documents for: {searched}. {end}"
    return ShownItem(
        html=box(QUIET, details(escape(line), pre(text)) if text else escape(line)),
        markdown=f"*Searched the documents for:* {code(searched)} {code(end)}",
        plain=f"{line}\n{text}".rstrip(),
    )


def search_texts(item: Item, limit: int) -> Iterator[str]:
    """Yield the texts that a search shows, in which figures of the answer may be found."""
    found = item.get("results")
    if isinstance(found, list):
        yield clip("\n\n".join(_passages(found)), limit)


def _passages(results: object) -> Iterator[str]:
    for each in results if isinstance(results, list | tuple) else ():
        if not isinstance(each, Mapping):
            continue
        score = each.get("score")
        place = f" ({score:.2f})" if isinstance(score, int | float) else ""
        yield f"{clean(str(each.get('filename') or 'a file'))}{place}\n{clean(str(each.get('text') or ''))}"
