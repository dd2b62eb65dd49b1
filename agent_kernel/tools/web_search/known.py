"""The addresses that a conversation has: of the user, of results, and of links in pages."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agent_kernel.errors import InvalidRequest
from agent_kernel.tools.web_search.base import checked_address

Json = Mapping[str, Any]

CALL = "web_search_call"
_ADDRESS = re.compile(r"https?://[^\s<>\"'`\[\]]{1,2048}")


def known_addresses(items: Sequence[Json]) -> Iterator[set[str]]:
    """Yield the addresses of each item, as calls have them."""
    for item in items:
        texts = list(_texts(item))
        if texts:
            yield {address for text in texts for address in _addresses(text)}


def _texts(item: Json) -> Iterator[str]:
    kind = item.get("type") or "message"
    if kind == "message" and item.get("role") == "user":
        content = item.get("content")
        parts = content if isinstance(content, list) else [{"text": content}]
        for part in parts:
            if isinstance(part, Mapping) and part.get("text"):
                yield str(part["text"])
    elif kind == CALL:
        for result in item.get("results") or ():
            if isinstance(result, Mapping):
                yield f"{result.get('url')} {result.get('text')}"


def _addresses(text: str) -> Iterator[str]:
    """Yield the addresses in a text, also without what may follow one in a sentence or in Markdown."""
    for found in _ADDRESS.findall(text):
        for each in (found, found.rstrip(".,;:!?)"), found.partition(")")[0]):
            try:
                yield checked_address(each)
            except InvalidRequest:
                continue
