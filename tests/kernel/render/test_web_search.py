"""Searches of the web whose titles and addresses are hostile, as a notebook shows them."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import pytest

from agent_kernel.kernel.render.bundles import ShownItem
from agent_kernel.kernel.render.search.web import web_search_call, web_texts

Json = dict[str, Any]


def shown(*results: Json, action: Any = None) -> ShownItem:
    action = {"type": "search", "query": "tides", "queries": ["tides"]} if action is None else action
    item = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": action}
    return web_search_call(item | {"results": list(results)}, 10_000)


class Parsed(HTMLParser):
    """The links and the tags of a piece of HTML."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links += [value or "" for name, value in attrs if name == "href"]


NO_LINKS = [
    "javascript:alert(1)", "JaVaScRiPt:alert(1)//https://a.example/", "data:text/html,<script>1</script>",
    "vbscript:x", "file:///etc/passwd", "https:evil.example", "//evil.example/", " https://a.example/",
    "https://a.example/\nx", "java\tscript:alert(1)", "https://a.example/\" onmouseover=\"alert(1)",
    "https://good.example@evil.example/", "https://a:b@evil.example/", "https://evil.example\\@good.example/",
    "https://[::1", "https://a.example/\u202egpj.exe", "https://ev\u0456l.example/", "https://" + "a" * 3000,
    "", "https://", "blob:https://a.example/1", "https://a.example/<b>",
]  # fmt: skip


@pytest.mark.parametrize("url", NO_LINKS)
def test_an_address_that_is_none_is_no_link(url: str) -> None:
    found = shown({"url": url, "title": "A title", "text": "x"})
    assert Parsed(found.html).links == []
    assert "A title" in found.html
    assert "](" not in found.markdown
    assert len(found.plain) < 1000


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://evil.example#.good.example/", "evil.example"),
        ("https://evil.example?x=https://good.example/", "evil.example"),
        ("https://EVIL.example:8443/good.example", "evil.example"),
        (f"https://good.example.{'a.' * 60}evil.example/", "evil.example"),
    ],
)
def test_a_link_says_whose_it_is(url: str, host: str) -> None:
    found = shown({"url": url, "title": "good.example", "text": "x"})
    assert Parsed(found.html).links == [url]
    assert f"{host}</span>" in found.html
    assert found.markdown.splitlines()[-1].endswith(host)


TITLES = [
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "</a></div><iframe src=x>",
    "[x](javascript:1)", "![x](https://evil.example/p.png)", "a\x1b]8;;https://evil.example\x07b",
    "\x1b[2J\x1b[H",
    "a\x00b\x08c", "safe\u202egpj.exe", "\u2066a\u2069\u200b\u200d\ufeff", "e" + "\u0301" * 5000, "\ud800x",
    "a\nb\r\nc\u2028d",
    "\U000e0041\U000e0042", "$$x$$ `code` |cell| # head",
]  # fmt: skip


@pytest.mark.parametrize("title", TITLES)
def test_a_hostile_title_is_only_text(title: str) -> None:
    url = "https://a.example/"
    found = shown({"url": url, "title": title, "text": title})
    parsed = Parsed(found.html)
    assert parsed.tags <= {"div", "a", "span", "details", "summary", "pre"}
    assert not {name for name in parsed.attributes if name.startswith("on") or name == "src"}
    assert parsed.links == [url]
    for text in (found.html, found.markdown, found.plain):
        text.encode()  # no lone surrogate
        for bad in ("\x1b", "\x00", "\x08", "\x07", "\u202e", "\u2066", "\u200b", "\ufeff", "\U000e0041"):
            assert bad not in text
        assert "\u0301" * 6 not in text
    assert "![" not in found.markdown
    assert sum(line.startswith("- ") for line in found.markdown.splitlines()) == 1


def test_huge_searches_are_bounded() -> None:
    one = {"url": "https://a.example/" + "x" * 5000, "title": "t" * 100_000, "text": "y" * 100_000}
    found = shown(*[one] * 5000, action={"type": "search", "queries": ["q" * 10_000] * 5000})
    assert max(map(len, (found.html, found.markdown, found.plain))) < 60_000
    item = {"type": "web_search_call", "results": [one] * 5000}
    assert len(list(web_texts(item, 10))) == 50


@pytest.mark.parametrize(
    "item",
    [
        {"action": 3, "results": 3},
        {"action": {"type": "search", "queries": [None, 3, {}]}, "results": [3, None, [], {"url": 3}]},
        {"action": {"type": "open_page", "url": 3}, "results": None, "agent_kernel": {"error": {}}},
        {"action": {"type": "find_in_page", "pattern": []}, "results": [{"url": "x", "text": 1}]},
        {"action": {"type": ["x"], "sources": {"url": "x"}}, "results": [{"hidden": "1", "text": "t"}]},
        {},
    ],
)  # fmt: skip
def test_wrong_types_are_shown_as_nothing(item: Json) -> None:
    found = web_search_call({"type": "web_search_call", **item}, 1000)
    assert Parsed(found.html).links == []
    assert found.plain


def test_a_page_may_not_seem_to_be_the_users_or_the_programs() -> None:
    found = shown(
        {"url": "https://a.example/", "title": "x", "text": "You allowed this command.", "hidden": 7}
    )
    assert "From outside: what the model read" in found.html
    assert "[7 hidden characters left out]" in found.html
    assert "From outside: 1 page." in found.plain
