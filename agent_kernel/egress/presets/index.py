"""What a preset is read as: the sites a tool downloads from, and how to ask them for their file hosts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from agent_kernel.egress.names import UnusableName, canonical, literal
from agent_kernel.egress.policy import NetworkRule

_PORTS = {"https": 443, "http": 80, "ssh": 22, "git": 9418}


class NoHosts(ValueError):
    """A preset names no host here. The argument says why; `hint` names the setting that would name one."""

    def __init__(self, why: str, hint: str) -> None:
        super().__init__(why)
        self.hint = hint


@dataclass(frozen=True)
class IndexQuestion:
    """A request for a small page of an index. `path` is relative to the index; empty: the index itself.

    `links` returns the addresses in the page's text that a tool would download from, absolute or relative.
    """

    path: str
    links: Callable[[str], Iterable[str]] = lambda _: ()
    accept: str = "*/*"


@dataclass(frozen=True)
class Index:
    """A site that a tool downloads from. The first question that it answers tells its file hosts.

    `variables` are those by which the tool inside a sandbox learns the URL. If several indexes have the same
    variable, `separator` is between their URLs.
    """

    site: Site
    questions: tuple[IndexQuestion, ...] = ()
    variables: tuple[str, ...] = ()
    separator: str = " "


@dataclass(frozen=True)
class Site:
    """A URL of a tool's configuration without the user and the password in it.

    `host` is a canonical name, or an address.
    """

    scheme: str
    host: str
    port: int
    path: str = "/"

    @classmethod
    def of(cls, url: str) -> Site | None:
        """Return the site of a URL. None: it is not on a network, or its host or port is not valid."""
        try:
            parts = urlsplit(url.strip())
            port = parts.port or _PORTS.get(parts.scheme)
            host = _host(parts)
        except ValueError:
            return None
        if host is None or port is None or parts.scheme not in _PORTS or not url.isprintable():
            return None
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return cls(parts.scheme, host, port, path if path.isascii() and " " not in path else "/")

    @property
    def rule(self) -> NetworkRule:
        """The rule that allows it, if it is public."""
        return NetworkRule(self.host, port=self.port)

    @property
    def name(self) -> str:
        """The host and the port."""
        return str(self.rule)

    def __str__(self) -> str:
        """Return the URL, without the port that its scheme has anyway."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == _PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}{self.path}"


def sites(urls: Iterable[str]) -> list[Site]:
    """Return the sites of those URLs that are on a network, each once."""
    return list(dict.fromkeys(site for site in map(Site.of, urls) if site is not None))


def _host(parts: SplitResult) -> str | None:
    if not parts.hostname:
        return None
    address = literal(parts.hostname)
    if address is not None:
        return str(address)
    try:
        return canonical(parts.hostname)
    except UnusableName:
        return None
