"""Search services with a JSON interface: SearXNG, Brave, Tavily and Exa.

Their answers are hostile input: bounded, and every field may have any type.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx2

from agent_kernel.errors import ConnectDenied, InvalidRequest
from agent_kernel.tools.outbound import AllowedHosts, LimitedTransport, ServerSentTooMuch, client_of
from agent_kernel.tools.web_search.base import (
    LONGEST_TITLE,
    FoundPage,
    Json,
    WebFailure,
    WebQuery,
    checked_address,
    seen,
)

MOST_BYTES = 4 << 20
LONGEST_EXCERPT = 4000
"""Characters of a page that are kept of a result."""
_MOST_READ = 100
_IN_QUERY = 5
"""Domains that are put into the query of a service without a field for them."""


@dataclass(frozen=True)
class Ask:
    """A request to a service: path below its address, and parameters or a JSON body."""

    path: str
    params: Json | None = None
    body: Json | None = None


@dataclass(frozen=True)
class SearchService:
    """How a service is asked, and where its answers have results. `keys` names the fields of a result."""

    name: str
    ask: Callable[[WebQuery], Ask]
    results: tuple[str, ...]
    keys: tuple[str, str, str]
    header: str = ""
    """The header for the key, and what stands before it. Empty: the service needs none."""
    prefix: str = ""
    url: str = ""
    """Its address if none is configured."""
    refused: str = "Its operator can look at the service's own log."
    """What to do if it refuses."""


class ServiceBackend:
    """Asks a service; see `SearchBackend`. The key goes to this address only, and into no message."""

    def __init__(self, service: SearchService, url: str, key: str, seconds: float) -> None:
        self._service = service
        self._url = url.rstrip("/")
        self._headers = {service.header: service.prefix + key} if service.header else {}
        self._seconds = seconds
        self._hosts = only(url)

    async def search(self, query: WebQuery) -> Sequence[FoundPage]:
        """See `SearchBackend`."""
        answer: Any = await self._answer(self._service.ask(query))
        for name in self._service.results:
            answer = answer.get(name) if isinstance(answer, Mapping) else None
        return list(pages_in(answer, self._service.keys))[: query.limit]

    async def _answer(self, ask: Ask) -> Any:
        name = self._service.name
        transport = LimitedTransport(self._hosts, MOST_BYTES)
        method = "GET" if ask.body is None else "POST"
        try:
            async with client_of(transport, self._headers, timeout=httpx2.Timeout(self._seconds)) as client:
                answer = await client.request(method, self._url + ask.path, params=ask.params, json=ask.body)
        except (httpx2.HTTPError, ConnectDenied, OSError) as error:
            raise WebFailure(f"{name} cannot be reached ({type(error).__name__}).") from None
        except ServerSentTooMuch as error:
            raise WebFailure(f"{name}: {error.message}") from None
        if answer.status_code != 200:
            hint = f" {self._service.refused}" if answer.status_code in (401, 403) else ""
            raise WebFailure(f"{name} answered with HTTP status {answer.status_code}.{hint}")
        try:
            return json.loads(answer.content)
        except (ValueError, RecursionError):
            raise WebFailure(f"{name} did not answer with JSON.") from None


def only(url: str) -> AllowedHosts:
    """Return the permission to connect to the host of an operator's address, also a private one."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return AllowedHosts.parse([f"tcp://{host}:{port}"], param="AGENT_KERNEL_WEB_SEARCH_URL")


def pages_in(given: object, keys: tuple[str, str, str]) -> Iterator[FoundPage]:
    """Yield the pages of a list of results, each once, without those that have no usable address."""
    seen: set[str] = set()
    for each in given[:_MOST_READ] if isinstance(given, list) else ():
        url, title, text = (each.get(key) for key in keys) if isinstance(each, Mapping) else (None,) * 3
        try:
            address = checked_address(url)
        except InvalidRequest:
            continue
        if address not in seen:
            seen.add(address)
            yield FoundPage(address, plain(title, LONGEST_TITLE) or address, plain(text, LONGEST_EXCERPT))


def plain(value: object, longest: int) -> str:
    """Return what a reader sees of a text, on one line and at most so long."""
    text, _ = seen(value[: 4 * longest]) if isinstance(value, str) else ("", 0)
    return " ".join(text.split())[:longest]


def with_sites(query: WebQuery) -> str:
    """Return the text of a query with its allowed domains, as most search engines understand them."""
    domains = query.domains.allowed or ()
    if not 0 < len(domains) <= _IN_QUERY:
        return query.text
    return f"{query.text} {' OR '.join(f'site:{each}' for each in domains)}"


def _domains(query: WebQuery, allowed: str, blocked: str) -> dict[str, Any]:
    named = {allowed: list(query.domains.allowed or ()), blocked: list(query.domains.blocked)}
    return {name: value for name, value in named.items() if value}


def _searxng(query: WebQuery) -> Ask:
    return Ask("/search", params={"q": with_sites(query), "format": "json", "pageno": 1})


def _brave(query: WebQuery) -> Ask:
    country = {"country": query.country} if query.country else {}
    params = {"q": with_sites(query), "count": min(query.limit, 20), "text_decorations": "false", **country}
    return Ask("/res/v1/web/search", params=params)


def _tavily(query: WebQuery) -> Ask:
    domains = _domains(query, "include_domains", "exclude_domains")
    return Ask("/search", body={"query": query.text, "max_results": min(query.limit, 20), **domains})


def _exa(query: WebQuery) -> Ask:
    where = {"userLocation": query.country} if query.country else {}
    domains = _domains(query, "includeDomains", "excludeDomains")
    contents = {"text": {"maxCharacters": LONGEST_EXCERPT}}
    body = {"query": query.text, "numResults": query.limit, "contents": contents, **domains, **where}
    return Ask("/search", body=body)


SERVICES: Mapping[str, SearchService] = {
    "searxng": SearchService(
        "SearXNG",
        _searxng,
        ("results",),
        ("url", "title", "content"),
        refused="Its operator must allow the format json in its settings.",
    ),
    "brave": SearchService(
        "Brave Search",
        _brave,
        ("web", "results"),
        ("url", "title", "description"),
        header="X-Subscription-Token",
        url="https://api.search.brave.com",
    ),
    "tavily": SearchService(
        "Tavily",
        _tavily,
        ("results",),
        ("url", "title", "content"),
        header="Authorization",
        prefix="Bearer ",
        url="https://api.tavily.com",
    ),
    "exa": SearchService(
        "Exa",
        _exa,
        ("results",),
        ("url", "title", "text"),
        header="x-api-key",
        url="https://api.exa.ai",
    ),
}
