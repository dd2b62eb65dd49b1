"""The connections to an upstream: each turn has one for itself, and the next turn takes it over."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import AsyncIterator
from typing import cast

import httpx2

log = logging.getLogger(__name__)

EXPIRY = 5.0
"""Seconds that a connection is kept without a request, as in `httpx2`."""
MOST_IDLE = 100
"""Connections that are kept without a request."""

_ONE = httpx2.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=EXPIRY)


class UpstreamConnections(httpx2.AsyncBaseTransport):
    """A pool of transports that hold one connection each.

    The pool of `httpx2` looks at all its connections whenever a request begins or ends. With fifty turns at
    once that was a seventh of what a turn cost.
    """

    def __init__(self) -> None:
        self._context = httpx2.create_ssl_context()
        self._idle: deque[tuple[float, httpx2.AsyncHTTPTransport]] = deque()
        self._used: set[httpx2.AsyncHTTPTransport] = set()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request over a connection that no other request uses. Raises errors of `httpx2`.

        A request that is cancelled closes its connection.
        """
        await self._close_expired()
        transport = self._idle.pop()[1] if self._idle else self._new()
        self._used.add(transport)
        try:
            response = await transport.handle_async_request(request)
        except BaseException:
            self._free(transport)
            raise
        body = cast(httpx2.AsyncByteStream, response.stream)
        response.stream = _Answer(body, self, transport)
        return response

    def _new(self) -> httpx2.AsyncHTTPTransport:
        return httpx2.AsyncHTTPTransport(verify=self._context, limits=_ONE)

    def _free(self, transport: httpx2.AsyncHTTPTransport) -> None:
        if transport in self._used:
            self._used.discard(transport)
            self._idle.append((time.monotonic(), transport))

    async def _close_expired(self) -> None:
        expired = time.monotonic() - EXPIRY
        while self._idle and (self._idle[0][0] < expired or len(self._idle) > MOST_IDLE):
            await _close(self._idle.popleft()[1])

    async def aclose(self) -> None:
        """Close all connections. Idempotent."""
        every = [*(transport for _, transport in self._idle), *self._used]
        self._idle.clear()
        self._used.clear()
        for transport in every:
            await _close(transport)


async def _close(transport: httpx2.AsyncHTTPTransport) -> None:
    """Close a connection that nobody uses any more: how it ends concerns nobody."""
    try:
        await transport.aclose()
    except (OSError, httpx2.HTTPError) as error:
        log.debug("A connection to a model's server did not end properly: %s", error)


class _Answer(httpx2.AsyncByteStream):
    """The body of an answer, whose end leaves the connection to the next request."""

    def __init__(
        self,
        body: httpx2.AsyncByteStream,
        connections: UpstreamConnections,
        transport: httpx2.AsyncHTTPTransport,
    ) -> None:
        self._body = body
        self._connections = connections
        self._transport = transport
        self._closed = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._body.__aiter__()

    async def aclose(self) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            await self._body.aclose()
        finally:
            self._connections._free(self._transport)
