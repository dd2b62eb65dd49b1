"""Turns as OpenTelemetry spans: their names, order and attributes, and nothing of what was said."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from agent_kernel.protocol.items import to_json
from agent_kernel.runtime.local import LocalRuntime
from agent_kernel.runtime.observe.telemetry import Telemetry
from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from tests.runtime.played import SHELL, Upstream, call, runtime_on, turns_of

SECRET = "xyzzy"

Make = Callable[..., Any]


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
async def make(
    upstream: Upstream, bubblewrap_backend: BubblewrapBackend, tmp_path: Path, exporter: InMemorySpanExporter
) -> AsyncIterator[Make]:
    """Makes a runtime that is watched."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    async with AsyncExitStack() as stack:

        async def make(*, content: bool = False) -> LocalRuntime:
            watched = Telemetry(provider, content=content)
            made = runtime_on(upstream.url, bubblewrap_backend, tmp_path, tracing=watched)
            return await stack.enter_async_context(made)

        yield make
    provider.shutdown()


def ended(exporter: InMemorySpanExporter) -> list[ReadableSpan]:
    """The spans, in the order in which they began."""
    return sorted(exporter.get_finished_spans(), key=lambda span: span.start_time or 0)


def about(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def says_two_steps(upstream: Upstream) -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    upstream.says(
        call(0, "shell", {"commands": [f"echo {SECRET}", "exit 3"]}), finish="tool_calls", usage=usage
    )
    upstream.says({"content": f"It says {SECRET}."}, usage=usage)


async def test_a_turn_is_a_span_over_its_calls(
    upstream: Upstream, make: Make, exporter: InMemorySpanExporter
) -> None:
    runtime = await make()
    says_two_steps(upstream)
    conversation = await runtime.conversations.create({})
    request = {"tools": [SHELL], "temperature": 0.5, "max_output_tokens": 900}
    turn = turns_of(runtime)
    response = await turn(f"Say {SECRET}.", conversation=conversation.id, model="chat/m", **request)

    spans = ended(exporter)
    names = ["invoke_agent agent-kernel", "chat m", "execute_tool shell", "chat m"]
    assert [span.name for span in spans] == names
    whole, first, tool, second = spans
    assert whole.parent is None
    assert whole.context is not None
    for span in (first, tool, second):
        assert span.parent is not None
        assert span.parent.span_id == whole.context.span_id
    kinds = [SpanKind.INTERNAL, SpanKind.CLIENT, SpanKind.INTERNAL, SpanKind.CLIENT]
    assert [span.kind for span in spans] == kinds
    assert {span.status.status_code for span in spans} == {StatusCode.UNSET}

    container_id = to_json(response)["tools"][0]["environment"]["container_id"]
    for span in spans:
        assert about(span)["agent_kernel.response.id"] == response.id
        assert about(span)["agent_kernel.container.id"] == container_id
        assert about(span)["gen_ai.conversation.id"] == conversation.id
        assert about(span)["gen_ai.provider.name"] == "chat"
    operations = ["invoke_agent", "chat", "execute_tool", "chat"]
    assert [about(span)["gen_ai.operation.name"] for span in spans] == operations
    assert about(whole)["gen_ai.response.id"] == response.id
    assert about(whole)["gen_ai.agent.name"] == "agent-kernel"
    assert about(whole)["gen_ai.usage.input_tokens"] == 20, "summed over the model's calls"
    assert about(whole)["gen_ai.response.finish_reasons"] == ("completed",)
    assert about(first)["gen_ai.request.model"] == "m"
    assert about(first)["gen_ai.request.temperature"] == 0.5
    assert about(first)["gen_ai.request.max_tokens"] == 900
    assert about(second)["gen_ai.request.max_tokens"] == 895
    assert about(first)["gen_ai.usage.output_tokens"] == 5
    assert about(first)["gen_ai.response.finish_reasons"] == ("tool_call",)
    assert about(second)["gen_ai.response.finish_reasons"] == ("stop",)
    assert about(tool)["gen_ai.tool.name"] == "shell"
    assert about(tool)["gen_ai.tool.call.id"] == "call_shell"
    assert about(tool)["agent_kernel.outcomes"] == ("0", "3")
    assert not [span.name for span in spans if SECRET in span.to_json()], "nothing of what was said"


async def test_content_is_on_the_spans_where_that_is_wanted(
    upstream: Upstream, make: Make, exporter: InMemorySpanExporter
) -> None:
    says_two_steps(upstream)
    turn = turns_of(await make(content=True))
    await turn(f"Say {SECRET}.", tools=[SHELL], instructions="Be brief.")
    _, first, tool, second = ended(exporter)
    read = {name: json.loads(str(about(second)[f"gen_ai.{name}.messages"])) for name in ("input", "output")}
    assert [message["role"] for message in read["input"]] == ["user", "assistant", "tool"]
    assert read["input"][0]["parts"] == [{"type": "text", "content": f"Say {SECRET}."}]
    assert read["output"][0]["parts"] == [{"type": "text", "content": f"It says {SECRET}."}]
    assert json.loads(str(about(first)["gen_ai.system_instructions"]))[0]["content"] == "Be brief."
    called = json.loads(str(about(first)["gen_ai.output.messages"]))[0]["parts"][0]
    assert called["arguments"] == {"commands": [f"echo {SECRET}", "exit 3"]}
    commands = json.loads(str(about(tool)["gen_ai.tool.call.arguments"]))["commands"]
    assert commands == [f"echo {SECRET}", "exit 3"]
    assert json.loads(str(about(tool)["gen_ai.tool.call.result"]))[0]["stdout"] == f"{SECRET}\n"


async def test_a_call_that_was_rejected_is_content_too(
    upstream: Upstream, make: Make, exporter: InMemorySpanExporter
) -> None:
    upstream.says(call(0, "nobodys", {"x": 1}), finish="tool_calls")
    upstream.says({"content": "Never mind."})
    await turns_of(await make(content=True))("Go.", tools=[SHELL])
    last = ended(exporter)[-1]
    (made,) = json.loads(str(about(last)["gen_ai.input.messages"]))[1]["parts"]
    assert made["name"] == "nobodys"


async def test_a_failure_is_named_and_not_quoted(
    upstream: Upstream, make: Make, exporter: InMemorySpanExporter
) -> None:
    upstream.refuses(400, SECRET, {})
    turn = turns_of(await make())
    assert (await turn("Go.", tools=[SHELL])).status == "failed"
    whole, chat = ended(exporter)
    assert about(chat)["error.type"] == "UpstreamRefused"
    assert about(whole)["error.type"] == "server_error"
    assert {span.status.status_code for span in (whole, chat)} == {StatusCode.ERROR}
    assert SECRET not in whole.to_json() + chat.to_json()


async def test_a_turn_whose_reader_leaves_ends_its_spans(
    upstream: Upstream, make: Make, exporter: InMemorySpanExporter
) -> None:
    runtime = await make()
    upstream.says(call(0, "shell", {"commands": ["echo begun; sleep 600"]}), finish="tool_calls")
    async with aclosing(runtime.respond({"input": "Go.", "tools": [SHELL]})) as events:
        async for event in events:
            if event.type == "response.shell_call_output_content.delta":
                break
    whole, _, tool = ended(exporter)
    assert about(tool)["error.type"] in ("GeneratorExit", "CancelledError")
    assert tool.status.status_code is StatusCode.UNSET
    assert about(whole)["gen_ai.response.finish_reasons"] == ("agent_kernel.cancelled",)


def test_nothing_of_it_is_imported_unless_it_is_asked_for() -> None:
    modules = "agent_kernel.runtime.local, agent_kernel.cli.compose, agent_kernel.cli.telemetry, sys"
    asked = "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    done = subprocess.run(
        [sys.executable, "-c", f"import {modules}; {asked}"], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
