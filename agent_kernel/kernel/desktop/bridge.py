"""The bridge: a desktop in a browser tab, by a listener of this kernel's own on loopback.

The page and its script are open to all that may connect. The socket, and with it the desktop, opens only with
a token, in the part of the link that no browser sends by itself. A request for another host, or from the
page of another one, is refused: a page elsewhere may have a name that leads to this machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, HTTPError, RequestHandler
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from agent_kernel.kernel.desktop.tokens import LIFETIME, OneTimeTokens
from agent_kernel.kernel.live.built import built
from agent_kernel.kernel.live.desktop import ShownDesktop, Watch

log = logging.getLogger(__name__)

ADDRESS = "127.0.0.1"
PLACE = "tab"
REFUSED, REPLACED, ENDED = 4003, 4001, 4000
"""Why the socket is closed, for the page."""
MOST_WAITING = 8
"""Connections that have not shown their token yet."""
SECONDS_TO_SHOW_IT = 5.0
LARGEST_MESSAGE = 1 << 18

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Desktop of the agent</title>
<link rel="icon" href="data:,"><link rel="stylesheet" href="/desktop.css">
<script type="module" src="/desktop.js"></script></head>
<body><noscript>This page needs JavaScript.</noscript></body></html>
"""
FILES: Mapping[str, tuple[str, Callable[[], str]]] = {
    "/": ("text/html", lambda: PAGE),
    "/desktop.js": ("text/javascript", lambda: built("desktop.js")),
    "/desktop.css": ("text/css", lambda: built("live.css")),
}
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class DesktopBridge:
    """Shows the desktop of one kernel in a tab, one at a time. Use it from the event loop."""

    def __init__(self, watch: Watch, tokens: OneTimeTokens | None = None) -> None:
        self.tokens = tokens or OneTimeTokens()
        self.waiting = 0
        self._watch = watch
        self._server: HTTPServer | None = None
        self._container_id = ""
        self._used = asyncio.Event()
        self._shown: tuple[BridgeSocket, ShownDesktop] | None = None
        self.port = 0

    @asynccontextmanager
    async def link(self, container_id: str) -> AsyncGenerator[tuple[str, asyncio.Event], None]:
        """Listen, and yield an address that opens the desktop once, and what is set when it was used.

        Leaving makes the address useless. The bridge goes on while its tab is open.
        """
        self._container_id = container_id
        self._used = used = asyncio.Event()
        self._listen()
        try:
            yield f"http://{ADDRESS}:{self.port}/#{self.tokens.new()}", used
        finally:
            self.tokens.forget()
            self._stop_if_idle()

    def close(self) -> None:
        """Close the tab's connection, and listen no more. Idempotent."""
        self.tokens.forget()
        if self._shown is not None:
            socket, desktop = self._shown
            self._shown = None
            desktop.close()
            socket.close(ENDED, "The kernel has ended.")
        self._stop_if_idle()

    def _listen(self) -> None:
        if self._server is not None:
            return
        routes = [(r"/socket", BridgeSocket, {"bridge": self}), (r".*", BridgePage, {"bridge": self})]
        application = Application(routes, log_function=lambda handler: None)
        self._server = HTTPServer(application, max_header_size=1 << 14, max_body_size=0)
        sockets = bind_sockets(0, ADDRESS)
        self.port = sockets[0].getsockname()[1]
        self._server.add_sockets(sockets)

    def _stop_if_idle(self) -> None:
        if self._shown is None and self._server is not None:
            self._server.stop()
            self._server = None

    def refusal(self, request: Any) -> str | None:
        """Return why a request is refused; None if it is not."""
        hosts = [f"{name}:{self.port}" for name in (ADDRESS, "localhost")]
        host, origin = request.headers.get("Host"), request.headers.get("Origin")
        if not _is_loopback(request.remote_ip):
            return "This page is for this machine."
        if host not in hosts:
            return "This page has another address."
        if origin is not None and origin not in [f"http://{each}" for each in hosts]:
            return "This page is not for other pages."
        return None

    def connect(self, socket: BridgeSocket, token: object) -> ShownDesktop | None:
        """Show the desktop on a socket, instead of the one before. None if its token is no good."""
        if not self.tokens.take(token):
            return None
        self._used.set()
        if self._shown is not None:
            earlier, watched = self._shown
            watched.close()
            earlier.close(REPLACED, "The desktop was opened in another tab.")
        desktop = ShownDesktop(self._watch, socket.show, PLACE)
        self._shown = socket, desktop
        desktop.begin(self._container_id)
        return desktop

    def disconnect(self, socket: BridgeSocket) -> None:
        """Hand the desktop of a socket back. The bridge closes with the last one."""
        if self._shown is not None and self._shown[0] is socket:
            self._shown[1].close()
            self._shown = None
            self._stop_if_idle()


class BridgePage(RequestHandler):
    """The page, its script and its style."""

    def initialize(self, bridge: DesktopBridge) -> None:
        """Take the bridge."""
        self._bridge = bridge

    def prepare(self) -> None:
        """Refuse what comes from elsewhere."""
        if (why := self._bridge.refusal(self.request)) is not None:
            raise HTTPError(403, reason=why)

    def set_default_headers(self) -> None:
        """Forbid all that the page does not need."""
        for name, value in HEADERS.items():
            self.set_header(name, value)
        self.clear_header("Server")

    def get(self) -> None:
        """Answer with a file."""
        kind, text = FILES.get(self.request.path, ("", None))
        if text is None:
            raise HTTPError(404)
        self.set_header("Content-Type", f"{kind}; charset=utf-8")
        self.finish(text())

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer without a page."""
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(self._reason)


class BridgeSocket(WebSocketHandler):
    """The socket of a tab. Its first message is the token."""

    def initialize(self, bridge: DesktopBridge) -> None:
        """Take the bridge."""
        self._bridge = bridge
        self._desktop: ShownDesktop | None = None
        self._patience: asyncio.TimerHandle | None = None
        self._acting: set[asyncio.Task[None]] = set()
        self._counted = False

    def prepare(self) -> None:
        """Refuse what comes from elsewhere, and whatever does not say where it comes from."""
        why = self._bridge.refusal(self.request)
        if why is None and "Origin" not in self.request.headers:
            why = "The request does not say which page it is from."
        if why is None and self._bridge.waiting >= MOST_WAITING:
            why = "Too many connections wait."
        if why is not None:
            raise HTTPError(403, reason=why)

    def check_origin(self, origin: str) -> bool:
        """Return True: `prepare` has checked it."""
        return True

    @property
    def max_message_size(self) -> int:
        """Bytes of one message."""
        return LARGEST_MESSAGE

    def open(self, *args: str, **kwargs: str) -> None:
        """Wait for the token."""
        self._bridge.waiting += 1
        self._counted = True
        loop = asyncio.get_running_loop()
        self._patience = loop.call_later(SECONDS_TO_SHOW_IT, self.close, REFUSED, "No token has come.")

    def on_message(self, message: str | bytes) -> None:
        """Take the token, then what the user does."""
        try:
            content = json.loads(message)
        except (ValueError, RecursionError):
            content = None
        if not isinstance(content, dict):
            self.close(REFUSED, "This is no message of the page.")
        elif self._desktop is None:
            self._begin(content.get("token"))
        elif not self._desktop.hears(content):
            task = asyncio.get_running_loop().create_task(self._answer(self._desktop, content))
            self._acting.add(task)
            task.add_done_callback(self._acting.discard)

    def _begin(self, token: object) -> None:
        self._shown_token()
        self._desktop = desktop = self._bridge.connect(self, token)
        if desktop is None:
            log.warning("A connection to the desktop's page was refused: its token was used or has expired.")
            self.close(REFUSED, "This link was used before, or has expired. Get a new one: %screen open")
        elif desktop.ended is not None:
            desktop.ended.add_done_callback(lambda _task: self._over(desktop))

    def _over(self, desktop: ShownDesktop) -> None:
        self.close(ENDED, str(desktop.state["why"] or "The container has ended.")[:100])

    def _shown_token(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
        if self._counted:
            self._counted = False
            self._bridge.waiting -= 1

    async def _answer(self, desktop: ShownDesktop, content: Mapping[str, Any]) -> None:
        known = content.get("type") in ("take", "hand_back")
        why = await desktop.do(content) if known else "The kernel does not know this action."
        self.show({"answered": content.get("id"), "why": why}, [])

    def show(self, message: Mapping[str, Any], buffers: list[bytes]) -> None:
        """Send a line of JSON, and what belongs to it."""
        with contextlib.suppress(WebSocketClosedError):
            self.write_message(b"\n".join([json.dumps(message).encode("ascii"), *buffers]), binary=True)

    def on_close(self) -> None:
        """Hand the desktop back."""
        self._shown_token()
        self._bridge.disconnect(self)


def _is_loopback(address: str | None) -> bool:
    try:
        return ipaddress.ip_address(address or "").is_loopback
    except ValueError:
        return False


__all__ = ["LIFETIME", "DesktopBridge"]
