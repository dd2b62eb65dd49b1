"""A loopback server of the Messages API that checks each request as the API does."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from pydantic import TypeAdapter, ValidationError

from tests.later import anthropic_types
from tests.models.anthropic.shapes import Event, error, signature, sse, stream

KEY = "sk-ant-very-secret"

Request = dict[str, Any]


@dataclass
class Reply:
    """One HTTP answer: events, or a body. `hold` keeps the connection open after it."""

    events: Sequence[Event] = ()
    status: int = 200
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    hold: bool = False


def model_info(name: str, **fields: Any) -> dict[str, Any]:
    """Return a model as the API lists it."""
    supported, missing = {"supported": True}, {"supported": False}
    efforts = dict.fromkeys(("low", "medium", "high"), supported) | {"max": missing, "xhigh": missing}
    types = {"adaptive": supported, "between_tools": missing, "disabled": supported, "enabled": missing}
    same = ("batch", "citations", "code_execution", "image_input", "pdf_input", "structured_outputs")
    capabilities = {
        **dict.fromkeys(same, supported),
        "context_management": {
            **supported,
            "clear_thinking_20251015": supported,
            "clear_tool_uses_20250919": supported,
            "compact_20260112": supported,
        },
        "effort": {**supported, **efforts},
        "server_tools": {**supported, "code_execution": supported, "web_search": supported},
        "thinking": {**supported, "types": types},
    }
    info = {
        "type": "model",
        "id": name,
        "display_name": name,
        "created_at": "2026-10-01T00:00:00Z",
        "lifecycle": "active",
        "max_input_tokens": 200_000,
        "max_tokens": 64_000,
        "capabilities": capabilities,
        **fields,
    }
    anthropic_types.ModelInfo.model_validate(info)
    return info


class MessagesServer(ThreadingHTTPServer):
    """Listens on a free port and gives one of `answers` to each request.

    `answer`, if set, makes the answer of each request. `requests` are the bodies, `faults` what is wrong in
    them. `models` are those that it lists; None: it has no list.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: deque[Reply] = deque()
        self.answer: Callable[[Request], Sequence[Event]] | None = None
        self.requests: list[Request] = []
        self.headers: list[dict[str, str]] = []
        self.asked: list[str] = []
        self.faults: list[str] = []
        self.models: list[dict[str, Any]] | None = [model_info("claude-test")]
        self.end = threading.Event()
        self.left = threading.Event()
        """Set when the client has gone away from an answer that is held."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def says(self, *blocks: dict[str, Any], **fields: Any) -> None:
        """Answer the next request with a message; fields are those of `shapes.stream`."""
        self.answers.append(Reply(stream(*blocks, **fields)))

    def refuses(self, status: int, kind: str, message: str, **headers: str) -> None:
        """Answer the next request with an error."""
        self.answers.append(
            Reply(status=status, body=json.dumps(error(kind, message)).encode(), headers=headers)
        )

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that stop reading."""


class _Handler(BaseHTTPRequestHandler):
    server: MessagesServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        server = self.server
        path = self.path.partition("?")[0]
        server.asked.append(path)
        if self.headers.get("authorization") != f"Bearer {KEY}":
            return self._send(401, error("authentication_error", f"invalid x-api-key {KEY}"))
        listed = {f"/v1/models/{each['id']}": each for each in server.models or ()}
        if path == "/v1/models" and server.models is not None:
            ids = [each["id"] for each in server.models]
            page = {"data": server.models, "has_more": False, "first_id": ids[0], "last_id": ids[-1]}
            return self._send(200, page)
        if path in listed:
            return self._send(200, listed[path])
        return self._send(404, error("not_found_error", f"model: {path}"))

    def do_POST(self) -> None:
        server = self.server
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path != "/v1/messages":
            return self._send(404, error("not_found_error", self.path))
        server.requests.append(request)
        server.headers.append({name.lower(): value for name, value in self.headers.items()})
        if (fault := fault_in(request, beta=self.headers.get("anthropic-beta") is not None)) is not None:
            server.faults.append(fault)
            return self._send(400, error("invalid_request_error", fault))
        reply = Reply(server.answer(request)) if server.answer is not None else server.answers.popleft()
        return self._reply(reply)

    def _reply(self, reply: Reply) -> None:
        kind = "text/event-stream; charset=utf-8" if reply.body is None else "application/json"
        self.send_response(reply.status)
        for name, value in {"Content-Type": kind, "Connection": "close", **reply.headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.close_connection = True
        self.wfile.write(reply.body if reply.body is not None else b"".join(map(sse, reply.events)))
        self.wfile.flush()
        if reply.hold:
            with suppress(ConnectionError):
                self.rfile.read(1)  # ends when the client goes away
            self.server.left.set()

    def _send(self, status: int, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the base's own word)
        """Log nothing."""


@cache
def _requests(*, beta: bool) -> TypeAdapter[Any]:
    types = anthropic_types.beta if beta else anthropic_types
    return TypeAdapter(types.message_create_params.MessageCreateParamsStreaming)


def fault_in(request: Request, *, beta: bool = False) -> str | None:
    """Return what the API would refuse: by the SDK's types, and by the rules that they do not hold."""
    try:
        read = _consumed(_requests(beta=beta).validate_python(request))
    except ValidationError as wrong:
        return f"not a request: {wrong}"
    if read != request:
        return "not a request: it has unknown fields"
    marks = json.dumps(request).count('"cache_control"')
    if marks > 4:
        return f"a maximum of 4 blocks with cache_control may be provided. Found {marks}."
    if request["messages"][0]["role"] != "user" or request["messages"][-1]["role"] != "user":
        return "messages: a user speaks first and last"
    for number, message in enumerate(request["messages"]):
        before = request["messages"][number - 1]["content"] if number else []
        if fault := _fault_in_message(message, before):
            return f"messages.{number}: {fault}"
    return None


def _fault_in_message(message: Any, before: list[Any]) -> str | None:
    content = message["content"]
    if any(block["type"] == "text" and not block["text"].strip() for block in content):
        return "text content blocks must contain non-whitespace text"
    uses = [block["id"] for block in before if block["type"] == "tool_use"]
    results = [block.get("tool_use_id") for block in content[: len(uses)]]
    if sorted(map(str, uses)) != sorted(map(str, results)):
        return f"`tool_use` ids were found without `tool_result` blocks immediately after: {uses}"
    if any(block["type"] == "tool_result" for block in content[len(uses) :]):
        return "unexpected `tool_use_id` found in `tool_result` blocks"
    for block in content:
        if block["type"] == "thinking" and block["signature"] != signature(block["thinking"]):
            return "Invalid `signature` in `thinking` block"
    if message["role"] == "assistant" and content[-1]["type"].endswith("thinking"):
        return "The final block in an assistant message cannot be `thinking`."
    return None


def _consumed(value: Any) -> Any:
    """Return the value with its lists read: pydantic checks those of the type `Iterable` only then."""
    if isinstance(value, dict):
        return {name: _consumed(each) for name, each in value.items()}
    if isinstance(value, str | bytes | int | float | None):
        return value
    return [_consumed(each) for each in value]


@contextmanager
def serving() -> Iterator[MessagesServer]:
    """Run a server for the time of the context."""
    with MessagesServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.end.set()
            server.shutdown()
            thread.join()
