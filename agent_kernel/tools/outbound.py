"""HTTP to servers that tools use: only to hosts that the operator allows, with limits on what they send."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx2
from httpcore2 import AnyIOBackend, AsyncConnectionPool, AsyncNetworkBackend, AsyncNetworkStream, ConnectError

from agent_kernel.egress.names import UnusableName, canonical, literal
from agent_kernel.egress.policy import NetworkPolicy, NetworkRule
from agent_kernel.egress.resolve import Resolver, checked_addresses, system_resolver
from agent_kernel.errors import AgentKernelError, ConnectDenied

ANY = "*"
"""In the operator's list: every host that is not private."""

MAX_BYTES = 32 << 20
"""Bytes that a server may send in one response by default, a stream of events included."""


class ServerSentTooMuch(AgentKernelError):
    """A server sent more than it may."""


@dataclass(frozen=True)
class AllowedHosts:
    """The hosts that a tool may connect to. None are allowed by default."""

    policy: NetworkPolicy = NetworkPolicy()  # noqa: RUF009 (frozen)
    any_public: bool = False

    @classmethod
    def parse(cls, entries: Sequence[str], *, param: str) -> AllowedHosts:
        """Read the operator's list: as a network policy's, and `*` for all public hosts.

        Raises `InvalidRequest` for a malformed entry.
        """
        named = [each for each in entries if each != ANY]
        policy = NetworkPolicy.parse(named, param=param) if named else NetworkPolicy()
        return cls(policy, ANY in entries)

    def rule(self, host: str, port: int) -> NetworkRule | None:
        """Return the rule for a server, None if it is not allowed."""
        decided = self.policy.decide(host, port)
        if decided.rule is not None and not decided.rule.read_only:
            return decided.rule
        try:
            return NetworkRule(canonical(host)) if self.any_public else None
        except UnusableName:
            return NetworkRule(host) if literal(host.strip("[]")) is not None else None

    def rule_of(self, url: str) -> NetworkRule | None:
        """Return the rule for the server at an address, None if it is not allowed."""
        parts = urlsplit(url)
        return self.rule(parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))


class CheckedBackend(AsyncNetworkBackend):
    """Connects to allowed hosts only, at addresses that were checked; a name is resolved once."""

    def __init__(self, hosts: AllowedHosts, resolver: Resolver = system_resolver) -> None:
        self._hosts = hosts
        self._resolver = resolver
        self._inner = AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Any = None,
    ) -> AsyncNetworkStream:
        """Connect to a host. Raises `ConnectDenied`, and what `httpcore2` raises."""
        rule = self._hosts.rule(host, port)
        if rule is None:
            raise ConnectDenied(f"the operator allows no connection to {host}:{port}")
        try:
            addresses = await checked_addresses(host.strip("[]"), rule, self._resolver)
        except ConnectDenied:  # an OSError too
            raise
        except OSError as error:
            raise ConnectError(str(error.strerror or error)) from None
        failed: Exception = ConnectError("no address")
        for address in addresses:
            try:
                return await self._inner.connect_tcp(
                    str(address), port, timeout, local_address, socket_options
                )
            except ConnectError as error:
                failed = error
        raise failed

    async def connect_unix_socket(self, *arguments: Any, **options: Any) -> AsyncNetworkStream:
        """Raise `ConnectDenied`: servers are reached by TCP."""
        raise ConnectDenied("a server is reached by its host")

    async def sleep(self, seconds: float) -> None:
        """Wait, as `httpcore2` asks for between attempts."""
        await self._inner.sleep(seconds)


class LimitedTransport(httpx2.AsyncHTTPTransport):
    """Sends requests through a `CheckedBackend`. `refused` is the last HTTP status that was an error.

    `too_much` is set once a response was cut off because it was too long.
    """

    def __init__(self, hosts: AllowedHosts, most_bytes: int = MAX_BYTES) -> None:
        super().__init__()
        self._pool = AsyncConnectionPool(
            ssl_context=httpx2.create_ssl_context(), network_backend=CheckedBackend(hosts)
        )
        self._hosts = hosts
        self._most = most_bytes
        self._connected = False
        self.refused: int | None = None
        self.too_much = False

    def connected(self) -> None:
        """Forget what was refused: the connection is open. Later only a refused request counts."""
        self._connected, self.refused = True, None

    def again(self) -> LimitedTransport:
        """Return another transport like this one."""
        return LimitedTransport(self._hosts, self._most)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request. A coded body is refused: its size is not known before it is read."""
        request.headers["Accept-Encoding"] = "identity"
        response = await super().handle_async_request(request)
        if response.status_code >= 400 and (request.method == "POST" or not self._connected):
            self.refused = response.status_code
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            await response.aclose()
            raise ServerSentTooMuch("The server compressed its answer although it was asked not to.")
        assert isinstance(response.stream, httpx2.AsyncByteStream)  # noqa: S101 (of an asynchronous request)
        response.stream = _Limited(response.stream, self._most, self._exceeded)
        return response

    def _exceeded(self) -> ServerSentTooMuch:
        self.too_much = True  # the `mcp` package only says that the connection was closed
        return ServerSentTooMuch("It sent too much.")


class _Limited(httpx2.AsyncByteStream):
    def __init__(
        self, stream: httpx2.AsyncByteStream, most: int, exceeded: Callable[[], ServerSentTooMuch]
    ) -> None:
        self._stream = stream
        self._left = most
        self._exceeded = exceeded

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._stream:
            self._left -= len(piece)
            if self._left < 0:
                raise self._exceeded()
            yield piece

    async def aclose(self) -> None:
        await self._stream.aclose()


def client_of(
    transport: LimitedTransport,
    own_headers: dict[str, str],
    headers: dict[str, str] | None = None,
    timeout: httpx2.Timeout | None = None,
    auth: httpx2.Auth | None = None,
) -> httpx2.AsyncClient:
    """Return a client for one server. Neither proxies nor credentials come from the environment."""
    return httpx2.AsyncClient(
        headers={**(headers or {}), **own_headers},
        timeout=timeout or httpx2.Timeout(30.0, read=300.0),
        auth=auth,
        transport=transport,
        trust_env=False,
        follow_redirects=False,
    )
