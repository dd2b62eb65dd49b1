"""Runs the actions of `web_search`: search, open a page, find a text in a page."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, zip_longest
from typing import Any

from agent_kernel.tools.context import ToolContext
from agent_kernel.tools.web_search.access import WebAccess
from agent_kernel.tools.web_search.base import FoundPage, SearchBackend, WebFailure, WebQuery
from agent_kernel.tools.web_search.spec import domains_of, may_fetch, size_of

Json = Mapping[str, Any]

AROUND = 300
"""Characters before and after a text that was found in a page."""
MOST_PLACES = 20

NO_PAGES = "The request allows searches only, no pages."
NOT_HERE = "This server cannot search the web."


async def results_of(action: Json, context: ToolContext, access: WebAccess) -> list[Json]:
    """Carry out an action and return its results. Raises `WebFailure`. Cancelling ends it."""
    if action["type"] == "search":
        if access.backend is None:
            raise WebFailure(NOT_HERE)
        return await _search(action["queries"], context.spec, access.backend)
    if not may_fetch(context.spec):
        raise WebFailure(NO_PAGES)
    domains = domains_of(context.spec)

    async def refuses(url: str) -> str | None:
        return domains.refusal(url) or await context.connect_refusal(url)

    reads = context.documents.text_of if context.documents is not None else None
    page = await access.pages.open(action["url"], refuses, reads)
    _, longest = size_of(context.spec)
    text = _places(page.text, action["pattern"]) if action["type"] == "find_in_page" else page.text
    more = {"hidden": page.hidden} if page.hidden else {}
    return [{"url": page.url, "title": page.title or page.url, "text": _cut(text, longest), **more}]


def _cut(text: str, longest: int) -> str:
    if len(text) <= longest:
        return text
    left = len(text) - longest
    return f"{text[:longest]}\n[{left} more characters; find_in_page finds texts in them]"


def _places(text: str, pattern: str) -> str:
    """Return the places of a page where a text occurs, each with what is around it."""
    words = r"\s+".join(map(re.escape, pattern.split()))
    found: list[tuple[int, int]] = []
    for match in re.finditer(words, text, re.IGNORECASE):
        start, end = max(0, match.start() - AROUND), match.end() + AROUND
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], end
        elif len(found) < MOST_PLACES:
            found.append((start, end))
    return "\n[...]\n".join(text[start:end] for start, end in found)


async def _search(queries: Sequence[str], spec: Json, backend: SearchBackend) -> list[Json]:
    """Ask each query, and return the results of all in turn. Fails only if all queries do."""
    limit, _ = size_of(spec)
    domains, place = domains_of(spec), spec.get("user_location") or {}
    country = str(place.get("country") or "").upper()
    country = country if re.fullmatch("[A-Z]{2}", country) else ""
    asked = [WebQuery(each, limit, domains, country) for each in queries]
    answers = await asyncio.gather(*(_one(each, backend) for each in asked))
    failures = [each for each in answers if isinstance(each, WebFailure)]
    if len(failures) == len(answers):
        raise failures[0]
    lists = [each for each in answers if not isinstance(each, WebFailure)]
    pages = {page.url: page for page in _in_turn(lists) if domains.refusal(page.url) is None}
    return [
        {"url": each.url, "title": each.title, "text": each.text} for each in list(pages.values())[:limit]
    ]


async def _one(query: WebQuery, backend: SearchBackend) -> Sequence[FoundPage] | WebFailure:
    try:
        return await backend.search(query)
    except WebFailure as error:
        return error


def _in_turn(lists: Sequence[Sequence[FoundPage]]) -> Iterator[FoundPage]:
    return (page for page in chain(*zip_longest(*lists)) if page is not None)
