"""A small HTTP client that asks an index for one page, under the same checks as a sandbox's connection.

It connects to the address that it checked, reads a bounded part of the answer, and follows no redirect by
itself.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field

import h11

from agent_kernel.egress.names import literal
from agent_kernel.egress.policy import NetworkRule
from agent_kernel.egress.presets.index import Site
from agent_kernel.egress.resolve import (
    Dialler,
    Resolver,
    checked_addresses,
    connect_first,
    dial,
    system_resolver,
)
from agent_kernel.errors import ConnectDenied

MAX_PAGE = 1 << 20
"""Bytes of a page that are read. The rest is left out."""

MAX_HEAD = 1 << 15
_PIECE = 1 << 16
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class NotAsked(Exception):
    """A site was not asked, or did not answer as it should; the argument says which and why."""


@dataclass(frozen=True)
class IndexPage:
    """An answer. `redirect` is where it points to instead, as it is written there."""

    status: int
    redirect: str | None = None
    text: str = ""


@dataclass(frozen=True)
class Route:
    """How sites are reached. Those in `private`, which the operator named, may have private addresses."""

    private: Sequence[NetworkRule] = ()
    resolver: Resolver = system_resolver
    dialler: Dialler = dial
    trust: ssl.SSLContext | None = field(default=None, repr=False)
    """The certificates to trust; None: those of the system."""

    def rule(self, site: Site) -> NetworkRule:
        """Return the rule that a site is reached by: the operator's, if it is a private service."""
        own = [each for each in self.private if each.private and each.covers(site.host, site.port)]
        return own[0] if own else site.rule

    async def get(self, site: Site, *, accept: str = "*/*", head_only: bool = False) -> IndexPage:
        """Ask for a page; with `head_only` for its first byte, and read none.

        Raises `NotAsked`: plain HTTP to a public host, whose answer anybody on the way could write; an
        address that is not allowed; a failed connection; an answer that is not HTTP. It has no time limit.
        """
        rule = self.rule(site)
        if site.scheme not in ("https", "http") or (site.scheme == "http" and not rule.private):
            raise NotAsked(f"{site.name} is not https, so its answers cannot be trusted")
        if literal(site.host) is not None and not rule.private:
            raise NotAsked(f"{site.name} is an address")
        try:
            reader, writer = await self._connect(site, rule)
        except ConnectDenied as error:
            raise NotAsked(f"{site.name} was not asked: {error.message}") from None
        except ssl.SSLCertVerificationError as error:
            raise NotAsked(f"{site.name} has no valid certificate: {error.verify_message}") from None
        except OSError as error:
            why = error.strerror or "the connection failed"
            raise NotAsked(f"{site.name} did not answer: {why}") from None
        try:
            return await _exchange(reader, writer, site, accept, head_only=head_only)
        except (OSError, h11.ProtocolError, UnicodeError):
            raise NotAsked(f"the answer of {site.name} is not valid HTTP") from None
        finally:
            writer.transport.abort()  # the rest of a long page is not awaited

    async def _connect(
        self, site: Site, rule: NetworkRule
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        addresses = await checked_addresses(site.host, rule, self.resolver)
        _, connected = await connect_first(addresses, site.port, self.dialler)
        try:
            if site.scheme == "http":
                return await asyncio.open_connection(sock=connected, limit=_PIECE)
            trust = self.trust or await asyncio.to_thread(ssl.create_default_context)
            return await asyncio.open_connection(
                sock=connected, ssl=trust, server_hostname=site.host, limit=_PIECE
            )
        except BaseException:
            connected.close()
            raise


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, site: Site, accept: str, *, head_only: bool
) -> IndexPage:
    client = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)
    host = f"[{site.host}]" if ":" in site.host else site.host
    headers = [
        ("Host", host if site.port in (80, 443) else f"{host}:{site.port}"),
        ("Accept", accept),
        ("Accept-Encoding", "identity"),
        ("User-Agent", "agent-kernel"),
        ("Connection", "close"),
        *([("Range", "bytes=0-0")] if head_only else []),
    ]
    request = h11.Request(method="GET", target=site.path, headers=headers)
    writer.write((client.send(request) or b"") + (client.send(h11.EndOfMessage()) or b""))
    await writer.drain()
    page, text = IndexPage(0), b""
    while True:
        event = client.next_event()
        if event is h11.NEED_DATA:
            client.receive_data(await reader.read(_PIECE))
        elif isinstance(event, h11.Response):
            page = _head(event)
            if head_only or page.redirect is not None or page.status != 200:
                return page
        elif isinstance(event, h11.Data):
            text += bytes(event.data)
            if len(text) >= MAX_PAGE:
                break
        elif not isinstance(event, h11.InformationalResponse):
            break
    return IndexPage(page.status, None, text[:MAX_PAGE].decode(errors="replace"))


def _head(response: h11.Response) -> IndexPage:
    headers = dict(response.headers)
    where = headers.get(b"location") if response.status_code in _REDIRECTS else None
    return IndexPage(response.status_code, None if where is None else where.decode("ascii"))
