"""Check API keys, or, if there are none, that a request comes from this machine.

Each accepted request has a `Caller`. Its runtime shows only what belongs to the caller's key, and endpoints
have no other way to reach a runtime.
"""

from __future__ import annotations

import ipaddress
import secrets
from typing import cast
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agent_kernel.errors import AgentKernelError, Unauthorized
from agent_kernel.keys import Key, KeyLimits
from agent_kernel.runtime.base import ServedRuntime
from agent_kernel.server.bodies import Arriving, Body
from agent_kernel.server.errors import answer_to, error_response
from agent_kernel.server.logs import KEY_NAME
from agent_kernel.server.rates import Rate

HEAD_LIMIT = 32 << 10
"""Bytes of a request's head: path and headers."""

OPEN_PATHS = frozenset({"/healthz"})
"""Paths that need no key."""

_CALLER = "agent_kernel.caller"


class Authenticator:
    """Looks up keys. `api_key` is the server's own key; `limits` apply to keys that set none."""

    def __init__(self, runtime: ServedRuntime, api_key: str | None, limits: KeyLimits) -> None:
        self._runtime = runtime
        self._nameless = None if api_key is None else api_key.encode()
        self._limits = limits
        self._rates: dict[str, Rate] = {}
        self._arriving: dict[str, Arriving] = {}

    async def asks_for_keys(self) -> bool:
        """Return whether every request needs a key."""
        return self._nameless is not None or await self._runtime.keys.exist()

    async def key(self, secret: str | None) -> Key:
        """Return the key with this secret. Raises `Unauthorized`."""
        key = await self._find(secret)
        if key is None:
            raise Unauthorized(
                "Missing or wrong API key.", hint="Send the key as 'Authorization: Bearer <key>'."
            )
        return key

    async def _find(self, secret: str | None) -> Key | None:
        given = (secret or "").encode("utf-8", "surrogateescape")
        if self._nameless is not None and secrets.compare_digest(given, self._nameless):
            return Key(limits=self._limits)
        found = await self._runtime.keys.find(secret) if secret else None
        if found is not None:
            return Key(found.name, found.limits.over(self._limits))
        return None if await self.asks_for_keys() else Key(limits=self._limits)

    def rate(self, key: Key) -> Rate | None:
        """Return the rate limit of a key, if it has one."""
        most = key.limits.requests_per_minute
        if most is None:
            return None
        if key.name not in self._rates or self._rates[key.name].per_minute != most:
            self._rates[key.name] = Rate(most)
        return self._rates[key.name]

    def caller(self, secret: str | None, key: Key) -> Caller:
        """Return the caller for a key that was found by its secret."""
        arriving = self._arriving.setdefault(key.name, Arriving())
        return Caller(self, secret, self._runtime.for_key(key), arriving)


class Caller:
    """The sender of a request. `arriving` counts the unfinished bodies of the same key."""

    def __init__(
        self, doorkeeper: Authenticator, secret: str | None, runtime: ServedRuntime, arriving: Arriving
    ) -> None:
        self._doorkeeper = doorkeeper
        self._secret = secret
        self.runtime = runtime
        self.arriving = arriving

    async def ask(self) -> None:
        """Count one more request on this connection. Raises `Unauthorized`, `LimitReached`."""
        rate = self._doorkeeper.rate(await self._doorkeeper.key(self._secret))
        if rate is not None:
            rate.take()


def caller_of(scope: Scope) -> Caller:
    """Return the caller that `Guard` put into the scope."""
    return cast(Caller, scope[_CALLER])


class Guard:
    """Middleware that checks every request before anything else sees it.

    With keys, the bearer token must be one of them. Without keys the server listens on loopback only. Then
    the remaining danger is a web page in a browser on this machine. DNS rebinding shows as a foreign `Host`,
    a cross-origin request as a foreign `Origin`: both are refused.
    """

    def __init__(self, app: ASGIApp, *, doorkeeper: Authenticator) -> None:
        self._app = app
        self._doorkeeper = doorkeeper

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] not in ("http", "websocket") or scope["path"] in OPEN_PATHS:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if len(scope.get("raw_path") or b"") + sum(len(n) + len(v) for n, v in scope["headers"]) > HEAD_LIMIT:
            await _TOO_LONG(scope, receive, send)
            return
        try:
            if not _is_local(headers) and not await self._doorkeeper.asks_for_keys():
                await _FOREIGN(scope, receive, send)
                return
            secret = _bearer(headers)
            key = await self._doorkeeper.key(secret)
            KEY_NAME.set(key.name)
            rate = self._doorkeeper.rate(key)
            if rate is not None:
                send = _with_headers(send, rate)
                rate.take()
        except AgentKernelError as error:
            await answer_to(error)(scope, receive, send)
            return
        scope[_CALLER] = self._doorkeeper.caller(secret, key)
        await self._app(scope, Body(scope, receive) if scope["type"] == "http" else receive, send)


_FOREIGN = error_response(
    403,
    "Without an API key this server answers only requests to localhost, and none from web pages."
    " To use it under another name, start it with a key (AGENT_KERNEL_API_KEY).",
    code="forbidden_host",
)

_TOO_LONG = error_response(431, f"The request's path and headers are larger than {HEAD_LIMIT} bytes.")


def _with_headers(send: Send, rate: Rate) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] in ("http.response.start", "websocket.http.response.start", "websocket.accept"):
            message = {**message, "headers": [*message.get("headers", ()), *rate.headers()]}
        await send(message)

    return sending


def _bearer(headers: Headers) -> str | None:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _is_local(headers: Headers) -> bool:
    origin = headers.get("origin")
    if origin is not None and not is_loopback(_host(origin)):
        return False
    return is_loopback(_host("//" + headers.get("host", "")))


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def is_loopback(host: str) -> bool:
    """Return whether `host` is `localhost` or a loopback address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
