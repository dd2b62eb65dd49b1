"""A loopback HTTP server that plays a Chat Completions endpoint, well and badly."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
    """One server-sent event of a streamed completion."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    completion = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "played",
        "choices": [choice],
    }
    return b"data: " + json.dumps(completion).encode() + b"\n\n"


def tool_call(arguments: str) -> dict[str, Any]:
    """A delta that calls the shell."""
    function = {"name": "shell", "arguments": arguments}
    return {"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": function}]}


class Handler(BaseHTTPRequestHandler):
    """What is played is said by the server's `plays`."""

    server: Played

    def do_GET(self) -> None:
        self.answer(404, {"error": {"message": "There is no list of models."}})

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        if self.path == "/api/show":
            self.rfile.read(length)
            able = self.server.capabilities
            self.answer(404 if able is None else 200, {"capabilities": able})
            return
        self.server.requests.append(json.loads(self.rfile.read(length)))
        plays = self.server.plays
        if length > 4 * self.server.window:
            error = {"code": 400, "type": "exceed_context_size_error", "message": "It is too long."}
            self.answer(
                400, {"error": {**error, "n_ctx": self.server.window, "n_prompt_tokens": length // 4}}
            )
            return
        if plays == "silent":
            self.server.asked.set()
            self.server.release.wait(60)
            return
        if plays == "wrong key":
            self.answer(401, {"error": {"message": "Incorrect API key provided.", "code": "invalid_api_key"}})
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        self.wfile.write(chunk({"role": "assistant", "content": "Let me "}))
        self.wfile.write(chunk({"content": "look."}))
        self.wfile.flush()
        if plays == "halting":
            self.server.release.wait(60)
        if plays == "malformed":
            self.wfile.write(chunk(tool_call('{"commands": "not a list')))
            self.wfile.write(chunk({}, "tool_calls"))
        if plays in ("malformed", "well"):
            self.wfile.write(chunk({}, "stop") + b"data: [DONE]\n\n")

    def answer(self, status: int, body: dict[str, Any]) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the base's own word)
        pass


class Played(ThreadingHTTPServer):
    """Listens on a free port of loopback. `release` ends what plays without an end."""

    daemon_threads = True
    plays = "well"
    capabilities: list[str] | None = None
    """What Ollama says of the model; None: this is another server."""
    window = 1 << 20
    """Requests of more tokens are refused; four bytes are one."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.requests: list[dict[str, Any]] = []
        self.asked = threading.Event()
        self.release = threading.Event()

    def renew(self) -> None:
        """Play well from now on, and forget the requests."""
        self.plays, self.window = Played.plays, Played.window
        self.capabilities = None
        self.requests.clear()
        self.asked.clear()
        self.release.clear()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


@contextmanager
def played() -> Iterator[Played]:
    """A server for the time of the context."""
    server = Played(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.release.set()
        server.shutdown()
        thread.join()
        server.server_close()
