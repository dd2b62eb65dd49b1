"""A server on loopback that counts who comes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Canary(ThreadingHTTPServer):
    """`visits` has an entry for each connection and each path asked for. `pages` are given out."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.visits: list[str] = []
        self.visited = threading.Event()
        """Set by the first request, when its path is in `visits`."""
        self.pages: dict[str, bytes] = {}

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def process_request(self, request: object, client_address: object) -> None:
        self.visits.append("a connection")
        super().process_request(request, client_address)  # type: ignore[arg-type]


class _Handler(BaseHTTPRequestHandler):
    server: Canary

    def do_GET(self) -> None:
        page = self.server.pages.get(self.path)
        self.server.visits.append(self.path)
        self.server.visited.set()
        self.send_response(200 if page else 404)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(page or b"")

    do_POST = do_HEAD = do_OPTIONS = do_GET  # noqa: N815 (the base's names)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base's)
        pass


@contextmanager
def canary() -> Iterator[Canary]:
    server = Canary()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
