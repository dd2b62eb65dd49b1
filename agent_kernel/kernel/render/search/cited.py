"""The passages of the documents that an answer cites, folded below it: they are read without a kernel."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from agent_kernel.kernel.render.bundles import details, pre
from agent_kernel.kernel.render.stored import Item
from agent_kernel.kernel.render.text import clean, clip, escape

Passages = Mapping[str, Sequence[str]]
"""The passages that a turn has found, best first, by the id of their file."""

MOST = 2
"""Passages of one document below an answer."""
LONGEST = 6400
"""Characters of each: as many as one result of a search has by default."""

_PLACE = re.compile(r"^\[(page|slide|sheet) (.{1,60})\]$", re.MULTILINE)
_HEADING = re.compile(r"^#{1,6}[ \t]+(\S.{0,79})", re.MULTILINE)


def found_passages(items: Sequence[Item]) -> Passages:
    """Return the passages of searches, each once, those with the best score first."""
    results: list[Mapping[str, Any]] = []
    for item in items:
        given = item.get("results")
        results += [each for each in given if isinstance(each, Mapping)] if isinstance(given, list) else []
    found: dict[str, list[str]] = {}
    for each in sorted(results, key=_score, reverse=True):
        file_id, text = each.get("file_id"), each.get("text")
        if isinstance(file_id, str) and isinstance(text, str):
            texts = found.setdefault(file_id, [])
            if text not in texts and len(texts) < MOST:
                texts.append(text)
    return found


def place_of(text: str) -> str:
    """Return where a passage stands, such as "pages 3 to 4" or "section Cooling"; "" if it does not say."""
    marks = _PLACE.findall(text)
    if marks:
        (kind, first), (_, last) = marks[0], marks[-1]
        return clean(f"{kind} {first}" if first == last else f"{kind}s {first} to {last}")
    heading = _HEADING.search(text)
    return f"section {clean(heading[1]).strip()}" if heading else ""


def cited_html(name: str, texts: Sequence[str]) -> str:
    """Return a cited document whose passages unfold; only its name if there are none."""
    if not texts:
        return f"<div>{escape(name)}</div>"
    places = "; ".join(dict.fromkeys(filter(None, map(place_of, texts))))
    body = "".join(f"<div>{pre(clip(clean(text), LONGEST))}</div><hr>" for text in texts)
    return details(escape(f"{name}, {places}" if places else name), body.removesuffix("<hr>"))


def _score(result: Mapping[str, Any]) -> float:
    score = result.get("score")
    return float(score) if isinstance(score, int | float) else 0.0
