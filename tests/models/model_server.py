"""A loopback HTTP server that answers questions about its models as the common servers do."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answers = dict[str, Any]
"""By path: the JSON of the answer, its bytes, or an HTTP status. Other paths are 404."""


def models(*names: str, **fields: Any) -> Any:
    """The answer to `GET /v1/models`; each model has `fields`."""
    return {"object": "list", "data": [{"id": name, "object": "model", **fields} for name in names]}


def llama_cpp(tools: bool, context: int, *names: str) -> Answers:
    """The answers of llama.cpp's server."""
    props = {
        "default_generation_settings": {"n_ctx": context, "params": {}},
        "chat_template": "{{ messages }}",
        "chat_template_caps": {"supports_tools": tools},
    }
    return {"/v1/models": models(*names or ("small.gguf",), meta={"n_ctx_train": 8192}), "/props": props}


def ollama(capabilities: list[str], parameters: str = "") -> Answers:
    """The answers of Ollama."""
    shown = {
        "capabilities": capabilities,
        "parameters": parameters,
        "model_info": {"llama.context_length": 131072},
    }
    return {"/v1/models": models("small:latest", owned_by="library"), "/api/show": shown}


class ModelServer(ThreadingHTTPServer):
    """Listens on a free port. `asked` are its requests, `keys` what they had as authorization.

    Each answer has `headers` and `status`. While `silent`, nothing is answered until the end.
    """

    daemon_threads = True

    def __init__(self, answers: Answers) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers = answers
        self.headers: dict[str, str] = {}
        self.asked: list[str] = []
        self.keys: list[str] = []
        self.silent = False
        self.status = 200
        self.end = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that stop reading."""


class _Handler(BaseHTTPRequestHandler):
    server: ModelServer

    def do_GET(self) -> None:
        server = self.server
        server.asked.append(f"{self.command} {self.path}")
        server.keys.append(self.headers.get("authorization", ""))
        if server.silent:
            server.end.wait(60)
            return
        answer = server.answers.get(self.path, 404)
        refused = {"error": {"message": f"No {self.path}."}}
        status, body = (answer, refused) if isinstance(answer, int) else (server.status, answer)
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **server.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body if isinstance(body, bytes) else json.dumps(body).encode())

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the base's own word)
        """Log nothing."""


@contextmanager
def serving(answers: Answers) -> Iterator[ModelServer]:
    """Run a server for the time of the context."""
    with ModelServer(answers) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.end.set()
            server.shutdown()
            thread.join()
