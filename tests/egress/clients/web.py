"""A web server for many host names: static files, and repositories behind Git's own program."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

BACKEND = "/usr/lib/git-core/git-http-backend"
PASSED = {"Content-Type": "CONTENT_TYPE", "Content-Encoding": "HTTP_CONTENT_ENCODING"}
PASSED |= {"Content-Length": "CONTENT_LENGTH", "Git-Protocol": "HTTP_GIT_PROTOCOL"}


class Site(SimpleHTTPRequestHandler):
    """Answers from the folder that is called like the request's host."""

    server: WebServer

    def translate_path(self, path: str) -> str:
        self.directory = str(self._folder())
        return super().translate_path(path)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the name of the base class)
        """Say nothing."""

    def parse_request(self) -> bool:
        """Read a request. One without credentials that the server wants gets 401."""
        if not super().parse_request():
            return False
        wanted = self.server.credentials
        if wanted and self.headers.get("Authorization") not in wanted:
            self.send_error(HTTPStatus.UNAUTHORIZED)
            return False
        return True

    def do_GET(self) -> None:
        if ".git/" in self.path:
            self._run_git()
        else:
            super().do_GET()

    def do_POST(self) -> None:
        self._run_git()

    def _folder(self) -> Path:
        host = self.headers.get("Host", "").partition(":")[0]
        return self.server.folder / (host if host in self.server.hosts else "none")

    def _run_git(self) -> None:
        """Answer as a web server does that has Git's program for repositories."""
        path, _, query = self.path.partition("?")
        headers = {variable: self.headers[name] for name, variable in PASSED.items() if name in self.headers}
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self._folder()),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            **headers,
        }
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        done = subprocess.run([BACKEND], env=environment, input=body, capture_output=True, check=True)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self.send_response(int(fields.pop("Status", "200").split()[0]))
        for name, value in {**fields, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer without a page: the status is enough."""
        self.send_response(code, HTTPStatus(code).phrase)
        if code == HTTPStatus.UNAUTHORIZED:
            self.send_header("WWW-Authenticate", 'Basic realm="tests"')
        self.send_header("Content-Length", "0")
        self.end_headers()


class WebServer(ThreadingHTTPServer):
    """Serves `folder/HOST` for each host, with TLS if there is a `context`.

    If there are `credentials`, each request must have one of them as its `Authorization`.
    """

    daemon_threads = False

    def __init__(
        self, folder: Path, context: ssl.SSLContext | None, credentials: Collection[str] = ()
    ) -> None:
        self.folder = folder
        self.credentials = credentials
        self.hosts = {each.name for each in folder.iterdir()}
        self._context = context
        super().__init__(("127.0.0.1", 0), Site)

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Serve one connection. TLS begins here, in the connection's own thread."""
        assert isinstance(request, socket.socket)
        if self._context is None:
            super().finish_request(request, client_address)
            return
        with self._context.wrap_socket(request, server_side=True) as secured:
            Site(secured, client_address, self)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report what is not a client's hanging up."""
        if not isinstance(sys.exception(), ConnectionError | ssl.SSLError):
            super().handle_error(request, client_address)


@contextmanager
def serving(
    folder: Path, context: ssl.SSLContext | None, credentials: Collection[str] = ()
) -> Iterator[WebServer]:
    """Run a server until the block ends; then its connections have ended too."""
    with WebServer(folder, context, credentials) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
