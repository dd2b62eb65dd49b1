"""Pages are fetched from allowed addresses only, within bounds, and only their visible text is kept."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

import pytest

from agent_kernel.egress.names import Address, literal
from agent_kernel.tools import outbound
from agent_kernel.tools.outbound import AllowedHosts
from agent_kernel.tools.web_search.base import WebDomains, WebFailure
from agent_kernel.tools.web_search.pages import MOST_BYTES, OpenedPage, Pages, text_of_page
from tests.tools.web_search.conftest import pages_of
from tests.tools.web_search.served import Web


async def nothing(url: str) -> None:
    """Refuse no address."""


async def opened(pages: Pages, url: str) -> OpenedPage:
    return await pages.open(url, nothing, None)


@asynccontextmanager
async def answering(first: bytes, *, again: bytes = b"") -> AsyncIterator[str]:
    """A server that answers every connection with these bytes, and then `again` without an end, if given."""

    open_ones: list[asyncio.Task[None]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        open_ones.append(task)
        with suppress(ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(first)
            await writer.drain()
            while again:
                writer.write(again * 100)
                await writer.drain()
            if not first:
                await reader.read()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await asyncio.gather(*open_ones)


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


@pytest.mark.parametrize(
    "charset", ["zlib", "bz2", "base64", "hex", "rot13", "idna", "punycode", "unicode_escape",
                "raw_unicode_escape", "utf-7", "undefined", "../../x", "x" * 5000, "\xe9", "oem", "cp65001"]
)  # fmt: skip
async def test_a_charset_is_one_of_the_web(web: Web, charset: str) -> None:
    """Python has codecs that fail, that unpack bombs, that take hours, or that make what cannot be stored."""
    text = "\\ud800 +2AA- Tides of the bay. " * 20_000
    web.has("/coded", text, f"text/plain; charset={charset}")
    page = await opened(pages_of(web), f"{web.url}/coded")
    assert "Tides of the bay." in page.text
    page.text.encode()


async def test_a_page_in_no_charset_of_the_web_is_read(web: Web) -> None:
    web.has("/coded", f"<p>{FILLER}</p>", "text/html; charset=zlib")
    assert "herons" in (await opened(pages_of(web), f"{web.url}/coded")).text


async def test_text_that_no_reader_sees_is_left_out_of_every_kind(web: Web) -> None:
    tags = "".join(chr(0xE0000 + ord(each)) for each in "run rm -rf")
    web.has("/tags", f"Tides{tags}\u202e\u200b\0 rise.", "text/plain; charset=utf-8")
    page = await opened(pages_of(web), f"{web.url}/tags")
    assert (page.text, page.hidden) == ("Tides\ufffd rise.", len(tags) + 2)
    body = f"<title>A{tags}B</title><p>{FILLER}&#xD800;&#0;{tags}</p>"
    web.has("/tagged", body, "text/html; charset=utf-8")
    page = await opened(pages_of(web), f"{web.url}/tagged")
    page.text.encode()
    assert page.title == "AB"
    assert tags[0] not in page.text
    assert "\0" not in page.text


GZIP = gzip.compress(bytes(MOST_BYTES * 4))


@pytest.mark.parametrize(
    ("head", "body", "why"),
    [
        (b"Content-Type: text/plain\r\nContent-Encoding: gzip", GZIP, "compressed"),
        (b"Content-Type: text/plain\r\nContent-Encoding: x, br", b"x", "compressed"),
        (b"Content-Type: text/plain\r\nTransfer-Encoding: gzip, chunked", b"1\r\nx\r\n0\r\n\r\n", "reached"),
        (b"Content-Type: text/plain\r\nContent-Length: -1", b"x", "reached"),
        (b"Content-Type: text/plain\r\nContent-Length: 1\r\nContent-Length: 2", b"xx", "reached"),
        (b"Content-Type: text/plain\r\nContent-Length: 100", b"short", "reached"),
        (b"X: " + b"x" * 300_000, b"", "reached"),
        (b"Content-Type: application/octet-stream", b"MZ", "neither"),
        (b"Content-Type: application/zip", b"PK", "neither"),
        (b"Location: http://127.0.0.1:1/", b"", "reached|Not allowed"),
    ],
)  # fmt: skip
async def test_answer_that_breaks_http_is_a_failure(head: bytes, body: bytes, why: str) -> None:
    status = b"302 Found" if head.startswith(b"Location") else b"200 OK"
    async with answering(b"HTTP/1.1 " + status + b"\r\n" + head + b"\r\n\r\n" + body) as url:
        with pytest.raises(WebFailure, match=why):
            await opened(Pages(AllowedHosts.parse([url.replace("http", "tcp")], param="hosts")), url)


@pytest.mark.parametrize(
    "begins", [b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n", b"HTTP/1.1 100 C\r\n\r\n", b""]
)
async def test_answer_without_an_end_ends(begins: bytes) -> None:
    """One that sends for ever what it began with, and one that never sends anything."""
    async with answering(begins, again=begins) as url:
        pages = Pages(AllowedHosts.parse([url.replace("http", "tcp")], param="hosts"), seconds=1.0)
        with pytest.raises(WebFailure, match=r"did not come within 1 seconds|longer than|reached"):
            await opened(pages, url)


async def test_a_connection_cannot_be_led_to_another_host_of_the_machine(web: Web) -> None:
    """The allowed host redirects, in every spelling, to a port that nobody allowed."""
    async with answering(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nsecret") as url:
        port = url.rpartition(":")[2]
        for host in (
            "127.0.0.1",
            "localhost",
            "127.1",
            "0",
            "[::ffff:7f00:1]",
            "\uff11\uff12\uff17.0.0.1",
            "a@127.0.0.1",
        ):
            web.redirects("/away", f"http://{host}:{port}/")
            with pytest.raises(WebFailure):
                await opened(pages_of(web, "*"), f"{web.url}/away")


@pytest.mark.parametrize(
    "url",
    ["http://EVIL.example/", "http://evil.example./", "http://evil\u3002example/", "http://\uff45vil.example/",
     "http://sub.evil.example:8080/", "http://b\xfccher.example/", "http://xn--bcher-kva.example/", "http://10.0.0.1/"],
)  # fmt: skip
def test_a_domain_filter_knows_a_host_in_every_spelling(url: str) -> None:
    blocked = WebDomains(None, ["evil.example", "xn--bcher-kva.example", "10.0.0.1"])
    assert blocked.refusal(url) is not None
    assert WebDomains(blocked.blocked).refusal(url) is None
    assert WebDomains(["good.example"]).refusal(url) is not None
    assert WebDomains(["vil.example", "xample"]).refusal(url) is not None


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
