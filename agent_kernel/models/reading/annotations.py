"""Citations in an upstream's own messages: of web pages, of files, and of files in its containers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent_kernel.protocol.wellformed import well_formed

MOST = 1_000
"""Citations of one message; later ones are dropped."""

_LONGEST = 4_096
_FURTHEST = 10**9

_FIELDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "url_citation": (("url", "title"), ("start_index", "end_index")),
    "file_citation": (("file_id", "filename"), ("index",)),
    "container_file_citation": (("container_id", "file_id", "filename"), ("start_index", "end_index")),
    "file_path": (("file_id",), ("index",)),
}
"""Texts and places of each type of annotation, as the `openai` package has them."""


def annotation_of(given: object, offset: int) -> dict[str, Any] | None:
    """Return an annotation moved by `offset` characters; None if `given` is not an annotation."""
    if not isinstance(given, Mapping) or not isinstance(kind := given.get("type"), str):
        return None
    texts, places = _FIELDS.get(kind, ((), ()))
    found: dict[str, Any] = {"type": kind}
    for name in texts:
        text = given.get(name)
        if not isinstance(text, str) or len(text) > _LONGEST:
            return None
        found[name] = well_formed(text)
    for name in places:
        place = given.get(name)
        if isinstance(place, bool) or not isinstance(place, int) or not 0 <= place <= _FURTHEST:
            return None
        found[name] = place + offset
    return found if texts else None
