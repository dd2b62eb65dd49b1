"""Traces on their way to a collector: a real exporter, and a collector that only keeps what it is sent."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from openai import OpenAI

from agent_kernel import config
from agent_kernel.cli.telemetry import tracing
from agent_kernel.errors import ConfigurationError
from agent_kernel.runtime.observe.tracing import UNWATCHED
from tests import forked


class Collector(HTTPServer):
    def __init__(self) -> None:
        self.received: list[tuple[str, bytes]] = []
        super().__init__(("127.0.0.1", 0), Receiver)


class Receiver(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        self.server.received.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_unasked_nothing_is_watched() -> None:
    assert tracing(config.load({}, {}, [])) is UNWATCHED


def test_without_the_extra_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(ConfigurationError, match="AGENT_KERNEL_OTEL is set, but") as caught:
        tracing(config.load({}, {"AGENT_KERNEL_OTEL": "1"}, []))
    assert caught.value.hint == "Install it: pip install 'jupyter-agent-kernel[otel]'"


@pytest.mark.parametrize(
    ("word", "content"),
    [("", False), ("true", True), ("SPAN_ONLY", True), ("NO_CONTENT", False), ("EVENT_ONLY", False)],
)
def test_the_conventions_own_variable_asks_for_content(word: str, content: bool) -> None:
    variable = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
    assert config.load({}, {variable: word}, []).telemetry.otel_content is content


def test_a_server_sends_its_traces(collector: Collector, own_environment: dict[str, str]) -> None:
    endpoint = f"http://127.0.0.1:{collector.server_port}"
    environment = {
        **own_environment,
        "AGENT_KERNEL_OTEL": "1",
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "AGENT_KERNEL_SANDBOX": "bubblewrap",
    }
    server, url = forked.serve(environment=environment)
    with OpenAI(base_url=url, api_key="x", max_retries=0) as client:
        response = client.responses.create(model="agent_kernel/shell", input="")
    server.terminate()
    assert server.wait(60) is not None
    assert {path for path, _ in collector.received} == {"/v1/traces"}
    sent = b"".join(body for _, body in collector.received)
    for word in ("invoke_agent agent-kernel", "chat agent_kernel/shell", response.id, "agent-kernel"):
        assert word.encode() in sent
