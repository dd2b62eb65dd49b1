"""Each search service is asked as its documentation says, and its answers are read with suspicion."""

from __future__ import annotations

import json
from typing import Any

import pytest
from mcp.server.mcpserver import MCPServer

from agent_kernel.errors import ConfigurationError
from agent_kernel.tools.web_search.backends.configured import search_backend
from agent_kernel.tools.web_search.base import FoundPage, SearchBackend, WebDomains, WebFailure, WebQuery
from tests.tools.mcp.served import served
from tests.tools.web_search.served import Web

QUERY = WebQuery("tides", 5, WebDomains(["example.org"], ["bad.example"]), "NO")
KEY = "sk-search-secret"


def backend(name: str, url: str, key: str = KEY, tool: str = "find") -> SearchBackend:
    found = search_backend(name, url, key, tool, 10.0)
    assert found is not None
    return found


def page(**fields: str) -> dict[str, str]:
    return {"url": "https://example.org/a#x", "title": "A  page", **fields}


FOUND = [FoundPage("https://example.org/a", "A page", "About tides.")]


async def test_searxng_is_asked_for_json(web: Web) -> None:
    found = await backend("searxng", f"{web.url}/").search(WebQuery("tides", 1))
    assert [each.url for each in found] == [f"{web.url}/tides"]
    ((path, asked, headers),) = web.asked
    assert (path, asked["q"], asked["format"]) == ("/search", ["tides"], ["json"])
    assert KEY not in str(headers)


async def test_brave_is_asked_with_its_header(web: Web) -> None:
    web.has("/res/v1/web/search", json.dumps({"web": {"results": [page(description="About tides.")]}}))
    assert await backend("brave", web.url).search(QUERY) == FOUND
    ((_, asked, headers),) = web.asked
    assert asked["q"] == ["tides site:example.org"]
    assert (asked["country"], asked["count"]) == (["NO"], ["5"])
    assert headers["X-Subscription-Token"] == KEY


@pytest.mark.parametrize(
    ("name", "field", "header", "value", "fields"),
    [
        ("tavily", "content", "Authorization", f"Bearer {KEY}",
         {"max_results": 5, "include_domains": ["example.org"], "exclude_domains": ["bad.example"]}),
        ("exa", "text", "x-api-key", KEY,
         {"numResults": 5, "includeDomains": ["example.org"], "excludeDomains": ["bad.example"],
          "contents": {"text": {"maxCharacters": 4000}}, "userLocation": "NO"}),
    ],
)  # fmt: skip
async def test_services_with_a_body_are_asked(
    web: Web, name: str, field: str, header: str, value: str, fields: dict[str, Any]
) -> None:
    web.has("/search", json.dumps({"results": [page(**{field: "About tides."})]}))
    try:
        assert await backend(name, web.url).search(QUERY) == FOUND
    finally:
        del web.answers["/search"]
    ((_, _, headers),) = web.asked
    assert {each.lower(): text for each, text in headers.items()}[header.lower()] == value
    assert web.posted == [{"query": "tides", **fields}]


@pytest.mark.parametrize(
    ("status", "body", "why"),
    [
        (403, "no", "allow the format json"),
        (500, KEY, "HTTP status 500"),
        (302, "", "HTTP status 302"),
        (200, "<html>", "JSON"),
        (200, "[" * 100_000, "JSON"),
        (200, "x" * (5 << 20), "too much"),
    ],
)
async def test_service_that_fails_says_why_without_its_words(
    web: Web, status: int, body: str, why: str
) -> None:
    web.has("/search", body, "http://127.0.0.1:1/", status)
    try:
        with pytest.raises(WebFailure, match=why) as caught:
            await backend("searxng", web.url).search(QUERY)
    finally:
        del web.answers["/search"]
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    "answer",
    [
        [],
        {},
        {"results": 3},
        {"results": [3, None, {"url": 1}, {"url": "ftp://x/"}, {"url": "http://u:p@x/"}]},
    ],
)
async def test_results_of_wrong_types_are_no_results(web: Web, answer: Any) -> None:
    web.has("/search", json.dumps(answer))
    try:
        assert await backend("searxng", web.url).search(QUERY) == []
    finally:
        del web.answers["/search"]


async def test_a_tool_of_an_mcp_server_searches() -> None:
    server = MCPServer("search")

    @server.tool(structured_output=False)
    async def find(query: str) -> str:
        """Search."""
        found = {"link": "https://example.org/a", "name": "A page", "snippet": query}
        return json.dumps({"results": [found]})

    @server.tool(structured_output=False)
    async def listed(query: str) -> str:
        """Search."""
        return f"1. A page\nhttps://example.org/a\nAbout {query}.\n"

    async with served(server.streamable_http_app()) as url:
        as_json = await backend("mcp", f"{url}/mcp").search(QUERY)
        as_text = await backend("mcp", f"{url}/mcp", tool="listed").search(QUERY)
        with pytest.raises(WebFailure):
            await backend("mcp", f"{url}/mcp", tool="absent").search(QUERY)
    assert as_json == [FoundPage("https://example.org/a", "A page", "tides")]
    assert as_text[0].url == "https://example.org/a"
    assert "About tides." in as_text[0].text


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (("altavista", "", "", ""), "names no search service"),
        (("searxng", "", "", ""), "AGENT_KERNEL_WEB_SEARCH_URL"),
        (("searxng", "ftp://x", "", ""), "https://"),
        (("brave", "", "", ""), "AGENT_KERNEL_WEB_SEARCH_KEY"),
        (("mcp", "http://x.example/mcp", "", ""), "AGENT_KERNEL_WEB_SEARCH_TOOL"),
    ],
)
def test_incomplete_settings_are_refused(given: tuple[str, str, str, str], why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        search_backend(*given, 10.0)
    assert search_backend("", "", "", "", 10.0) is None
