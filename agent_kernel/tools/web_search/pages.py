"""Fetches web pages and reads their text.

Each address is checked before it is dialled, also after a redirect: the host by the operator's list and the
request, and the addresses that its name leads to. No cookies or credentials are sent.
"""

from __future__ import annotations

import asyncio
import codecs
import importlib.util
import json
import os
import re
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import httpx2

from agent_kernel.errors import AgentKernelError, ConnectDenied, InvalidRequest
from agent_kernel.tools.outbound import AllowedHosts, LimitedTransport, ServerSentTooMuch, client_of
from agent_kernel.tools.web_search.base import WebFailure, checked_address, seen

MOST_BYTES = 8 << 20
"""Bytes of a page or a file that are read."""
LONGEST_TEXT = 400_000
"""Characters of its text that are kept."""
MOST_REDIRECTS = 5
READING = 60.0
"""Seconds that reading the text of a page may take; of the processor it gets far less (`page_text.py`)."""

_AGENT = "agent-kernel (web_search)"
_PAGE = ("text/html", "application/xhtml+xml")
_TEXT = ("application/json", "application/xml", "application/rss+xml", "application/atom+xml")
_PDF = "application/pdf"
_ON_THE_WEB = re.compile(
    r"ascii|utf-(8|16)(-[a-z]+)*|iso8859-\d+|cp(125\d|866|874|932|949)|koi8-[ru]|mac-(roman|cyrillic)|"
    r"gb(2312|k|18030)|big5(hkscs)?|euc_(jp|kr)|shift_jis|iso2022_jp"
)
_PROGRAM = Path(__file__).with_name("page_text.py")
_MOST_PRINTED = 16 << 20

ReadsFile = Callable[[str, bytes], Awaitable[str]]
"""Returns the text of a file, by its name and content. Raises `AgentKernelError`."""
Refuses = Callable[[str], Awaitable[str | None]]
"""Returns why an address may not be opened, as a sentence; None if it may."""


@dataclass(frozen=True)
class OpenedPage:
    """A page that was read. `hidden` counts characters that were left out since no reader sees them."""

    url: str
    title: str
    text: str
    hidden: int = 0


@dataclass(frozen=True)
class _Fetched:
    url: str
    kind: str
    charset: str
    content: bytes


@dataclass(frozen=True)
class Pages:
    """Opens pages. `seconds` limits the transfer of one, with its redirects."""

    hosts: AllowedHosts = field(default_factory=AllowedHosts)
    seconds: float = 20.0

    async def open(self, url: str, refuses: Refuses, reads_file: ReadsFile | None) -> OpenedPage:
        """Return the text of a page, or of a PDF if `reads_file` is given. Raises `WebFailure`."""
        try:
            async with asyncio.timeout(self.seconds):
                fetched = await self._fetched(url, refuses)
        except TimeoutError:
            raise WebFailure(f"The page did not come within {self.seconds:g} seconds.") from None
        if fetched.kind in _PAGE:
            return await text_of_page(fetched.url, fetched.content, fetched.charset)
        if fetched.kind == _PDF:
            return await _text_of_file(fetched, reads_file)
        if fetched.kind.startswith("text/") or fetched.kind in _TEXT:
            return _opened(fetched.url, "", fetched.content.decode(_codec(fetched.charset), "replace"))
        raise WebFailure("It is neither a page, a text nor a PDF file.")

    async def _fetched(self, url: str, refuses: Refuses) -> _Fetched:
        for _ in range(MOST_REDIRECTS + 1):
            if (why := await refuses(url)) is not None:
                raise WebFailure(why)
            answer = await self._answer(url)
            if not isinstance(answer, str):
                return answer
            url = answer
        raise WebFailure(f"The page redirects more than {MOST_REDIRECTS} times.")

    async def _answer(self, url: str) -> _Fetched | str:
        """Return what an address has, or the address that it redirects to."""
        transport = LimitedTransport(self.hosts, MOST_BYTES)
        try:
            async with (
                client_of(transport, {"User-Agent": _AGENT, "Accept": "text/html, */*;q=0.5"}) as client,
                client.stream("GET", url) as answer,
            ):
                if answer.is_redirect:
                    return _next(url, answer.headers.get("location", ""))
                if answer.status_code != 200:
                    raise WebFailure(f"Its server answered with HTTP status {answer.status_code}.")
                kind, _, more = answer.headers.get("content-type", "text/html").partition(";")
                charset = more.partition("charset=")[2].split(";")[0].strip(" \"'")
                return _Fetched(url, kind.strip().lower(), charset, await answer.aread())
        except ConnectDenied as error:
            raise WebFailure(f"Not allowed: {error.message}.") from None
        except ServerSentTooMuch:
            raise WebFailure(f"It is longer than {MOST_BYTES} bytes, or compressed.") from None
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            raise WebFailure(f"Its server cannot be reached ({type(error).__name__}).") from None


def _next(url: str, location: str) -> str:
    try:
        return checked_address(urljoin(url, location))
    except (InvalidRequest, ValueError):
        raise WebFailure("The page redirects to an address that cannot be opened.") from None


async def _text_of_file(fetched: _Fetched, reads_file: ReadsFile | None) -> OpenedPage:
    if reads_file is None:
        raise WebFailure("It is a PDF file, and this server cannot read those.")
    name = unquote(urlsplit(fetched.url).path.rpartition("/")[2]) or "page.pdf"
    try:
        text = await reads_file(name, fetched.content)
    except AgentKernelError as error:
        raise WebFailure(f"It is a PDF file that cannot be read: {error.message}") from None
    return _opened(fetched.url, name[:300], text)


def _opened(url: str, title: str, text: str, hidden: int = 0) -> OpenedPage:
    """Return a page with what a reader sees of its text."""
    shown, unseen = seen(text[:LONGEST_TEXT])
    return OpenedPage(url, seen(title)[0], shown, hidden + unseen)


def _codec(charset: str) -> str:
    """Return the codec for a page's charset, UTF-8 for a name that is not used on the web.

    Python has more under such names, for example `zlib`, and `punycode`, which takes hours for a long text.
    """
    try:
        name = codecs.lookup(charset).name if charset else "utf-8"
    except (LookupError, ValueError):
        return "utf-8"
    return name if _ON_THE_WEB.fullmatch(name) else "utf-8"


async def text_of_page(url: str, content: bytes, charset: str) -> OpenedPage:
    """Return the text of a page, read by a process of its own. Raises `WebFailure`.

    Cancelling ends the process.
    """
    if not content.strip():
        return OpenedPage(url, "", "")
    if importlib.util.find_spec("trafilatura") is None:
        raise WebFailure("This server cannot read web pages: pip install 'jupyter-agent-kernel[web]'.")
    encoding = _codec(charset) if charset else ""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", str(_PROGRAM), url, str(LONGEST_TEXT), encoding,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        env={}, cwd="/", start_new_session=True, limit=_MOST_PRINTED,
    )  # fmt: skip
    try:
        async with asyncio.timeout(READING):
            printed, _ = await process.communicate(content)
        found = json.loads(printed)
        return _opened(url, str(found["title"]), str(found["text"]), int(found["hidden"]))
    except (TimeoutError, ValueError):
        raise WebFailure("The text of the page cannot be read.") from None
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
