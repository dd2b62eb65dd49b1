"""What a search asks and finds, and the interface of the services that search."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlsplit

from agent_kernel.egress.names import UnusableName, canonical
from agent_kernel.errors import AgentKernelError, InvalidRequest

Json = Mapping[str, Any]

UNSEEN = "\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff\U000e0000-\U000e007f"
"""Characters that a reader does not see, or that change the order of what a reader sees; for a regex."""
_UNSEEN = re.compile(f"[{UNSEEN}]")
_UNWRITABLE = re.compile("[\ud800-\udfff\0]")

LONGEST_URL = 2048
LONGEST_TITLE = 300


class WebFailure(AgentKernelError):
    """A search or a page failed. The message is a sentence for the model and the user."""


@dataclass(frozen=True)
class WebDomains:
    """The domains that a request allows, subdomains included. `allowed` None: all."""

    allowed: Sequence[str] | None = None
    blocked: Sequence[str] = ()

    def refusal(self, url: str) -> str | None:
        """Return why an address is not allowed, as a sentence; None if it is."""
        host = _host(url)
        if any(_is_in(host, each) for each in self.blocked):
            return f"The request blocks pages of {host}."
        if self.allowed is not None and not any(_is_in(host, each) for each in self.allowed):
            return f"The request does not allow pages of {host}."
        return None


def _host(url: str) -> str:
    """Return the host of an address as it will be looked up: `Ｅｖｉｌ。example` is `evil.example`."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    try:
        return canonical(host)
    except UnusableName:  # an address, or what no connection is made to
        return host


def _is_in(host: str, domain: str) -> bool:
    return host == domain or host.endswith(f".{domain}")


@dataclass(frozen=True)
class WebQuery:
    """One search. `country` is a code of two letters in upper case, or empty."""

    text: str
    limit: int
    domains: WebDomains = field(default_factory=WebDomains)
    country: str = ""


@dataclass(frozen=True)
class FoundPage:
    """A page that was found, with an excerpt of its text. Bounded, but not trusted."""

    url: str
    title: str
    text: str


class SearchBackend(Protocol):
    """A service that searches the web."""

    async def search(self, query: WebQuery) -> Sequence[FoundPage]:
        """Return pages, best first. They may be of any domain. Raises `WebFailure`."""
        ...


def seen(text: str) -> tuple[str, int]:
    """Return a text without characters that no reader sees, and how many those were.

    Lone surrogates and null characters, which cannot be stored, are replaced.
    """
    found, hidden = _UNSEEN.subn("", _UNWRITABLE.sub("\ufffd", text))
    return found, hidden


def checked_address(url: object, where: str = "url") -> str:
    """Return the address of a page, without its fragment. Raises `InvalidRequest`."""
    if not isinstance(url, str) or len(url) > LONGEST_URL or not url.isprintable() or " " in url:
        raise InvalidRequest(f"{where} must be an address of at most {LONGEST_URL} characters.", param=where)
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise InvalidRequest(f"{where} is not a valid address.", param=where) from None
    if parts.scheme not in ("http", "https") or not host:
        raise InvalidRequest(f"{where} must begin with https:// or http:// and name a host.", param=where)
    if parts.username is not None or parts.password is not None:
        raise InvalidRequest(f"{where} must not contain a user name or password.", param=where)
    return parts._replace(fragment="").geturl()
