"""Pages are fetched from allowed addresses only, within bounds, and only their visible text is kept."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from agent_kernel.egress.names import Address, literal
from agent_kernel.tools import outbound
from agent_kernel.tools.outbound import AllowedHosts
from agent_kernel.tools.web_search.base import WebFailure
from agent_kernel.tools.web_search.pages import MOST_BYTES, OpenedPage, Pages, text_of_page
from tests.tools.web_search.conftest import pages_of
from tests.tools.web_search.served import Web


async def nothing(url: str) -> None:
    """Refuse no address."""


async def opened(pages: Pages, url: str) -> OpenedPage:
    return await pages.open(url, nothing, None)


PUBLIC = Pages(AllowedHosts.parse(["*"], param="hosts"))


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "[::1]", "10.0.0.1", "169.254.169.254", "0.0.0.0", "[::ffff:127.0.0.1]",
     "127.1", "2130706433", "0x7f.1", "192.168.1.1", "100.64.0.1", "[fd00:ec2::254]"],
)  # fmt: skip
async def test_private_address_is_refused(web: Web, host: str) -> None:
    port = web.server_address[1]
    with pytest.raises(WebFailure):
        await opened(PUBLIC, f"http://{host}:{port}/tides")
    assert web.asked == []


async def test_public_name_of_a_private_address_is_refused(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    loopback = literal("127.0.0.1")
    assert loopback is not None

    async def resolver(name: str) -> Sequence[Address]:
        return [loopback]

    monkeypatch.setattr(outbound.CheckedBackend.__init__, "__defaults__", (resolver,))
    with pytest.raises(WebFailure, match="a loopback address"):
        await opened(PUBLIC, f"http://public.example.org:{web.server_address[1]}/tides")
    assert web.asked == []


async def test_redirect_is_checked_again(web: Web) -> None:
    web.redirects("/near", "/moon#part")
    assert (await opened(pages_of(web), f"{web.url}/near")).text == "The moon is 384,400 km away."
    for target in ("http://127.0.0.1:1/", "http://169.254.169.254/latest/", "file:///etc/passwd", ""):
        web.redirects("/away", target)
        with pytest.raises(WebFailure):
            await opened(pages_of(web), f"{web.url}/away")
    web.redirects("/loop", "/loop")
    web.asked.clear()
    with pytest.raises(WebFailure, match="more than 5 times"):
        await opened(pages_of(web), f"{web.url}/loop")
    assert len(web.asked) == 6


async def test_each_redirect_may_be_refused(web: Web) -> None:
    web.redirects("/near", "/moon")

    async def refuses(url: str) -> str | None:
        return "Not the moon." if url.endswith("/moon") else None

    with pytest.raises(WebFailure, match="Not the moon"):
        await pages_of(web).open(f"{web.url}/near", refuses, None)
    assert [path for path, _, _ in web.asked] == ["/near"]


async def test_no_credentials_are_sent(web: Web) -> None:
    await opened(pages_of(web), f"{web.url}/moon")
    ((_, _, headers),) = web.asked
    assert not {"Cookie", "Authorization", "Proxy-Authorization", "Referer"} & headers.keys()


async def test_unreadable_answer_is_a_failure(web: Web) -> None:
    web.has("/large", b"x" * (MOST_BYTES + 1), "text/plain")
    web.has("/picture", b"\x89PNG", "image/png")
    web.has("/broken", "no", "text/html", 500)
    for path, why in (("large", "longer"), ("picture", "neither"), ("broken", "500"), ("none", "404"),
                      ("report.pdf", "PDF")):  # fmt: skip
        with pytest.raises(WebFailure, match=why):
            await opened(pages_of(web), f"{web.url}/{path}")


async def test_hostile_pages_have_bounded_texts() -> None:
    url = "https://example.org/"
    deep = await text_of_page(url, b"<div>" * 200_000 + b"deep", "")
    assert len(deep.text) < 100
    for content in (
        b"\0" * 1000,
        b"<",
        b"\xff\xfe<\0h\0t\0m\0l\0",
        b"<!DOCTYPE x [<!ENTITY a 'b'>]><p>&a;</p>",
    ):
        try:
            page = await text_of_page(url, content, "utf-16")
        except WebFailure:
            continue
        assert len(page.text) < 2000


HIDING = (
    "<p hidden>{}</p>", "<p style='display:none'>{}</p>", "<div style='opacity:0'><p>{}</p></div>",
    "<p style='font-size:0'>{}</p>", "<p style='color:white'>{}</p>", "<p class=trap>{}</p>",
    "<p id=pit>{}</p>", "<p style='position:absolute;left:-9999px'>{}</p>", "<!-- {} -->",
    "<noscript>{}</noscript>", "<script>{}</script>", "<p style='text-indent:-9999px'>{}</p>",
)  # fmt: skip
FILLER = "<p>A page about herons, which hunt at dawn and stand still for a long time in the water.</p>"


async def test_hidden_text_is_left_out_and_counted() -> None:
    style = "<style>.trap{display:none} #pit{visibility:hidden}</style>"
    hidden = FILLER.join(each.format(f"SECRET{number:02}") for number, each in enumerate(HIDING))
    body = f"<html><head>{style}</head><body><article>{FILLER}{hidden}{FILLER}</article></body></html>"
    page = await text_of_page("https://example.org/", body.encode(), "")
    assert "herons" in page.text
    assert "SECRET" not in page.text
    assert page.hidden == 9 * len("SECRET00")  # comments and scripts are no text


async def test_shown_text_is_kept() -> None:
    parts = ["<p style='opacity:0.9'>ONE one one.</p>", "<p style='color:#fff;background:#000'>TWO two.</p>",
             "<p style='min-height:0;overflow:hidden'>THREE three.</p>", "<p style='font-size:2em'>FOUR.</p>",
             "<p style='color:whitesmoke'>FIVE five.</p>"]  # fmt: skip
    body = f"<html><body><article>{FILLER}{FILLER.join(parts)}{FILLER}</article></body></html>"
    page = await text_of_page("https://example.org/", body.encode(), "")
    assert all(word in page.text for word in ("ONE", "TWO", "THREE", "FOUR", "FIVE"))
    assert page.hidden == 0
