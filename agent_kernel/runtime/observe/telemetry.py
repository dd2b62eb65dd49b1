"""Turns as OpenTelemetry spans, by its conventions for generative AI. Needs the extra `otel`.

    invoke_agent agent-kernel         the turn
    ├── chat <model>                  each call of the model
    └── execute_tool <tool>           each tool call that runs

Every span has `agent_kernel.response.id` and, if the turn has a container, `agent_kernel.container.id`.
Messages and output are on no span unless the operator opts in.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer, TracerProvider

from agent_kernel import __version__
from agent_kernel.protocol.calls import CallDelta, CallDone, CallStart, is_rejected
from agent_kernel.protocol.deltas import ModelDelta, TextDelta, Truncated, Usage
from agent_kernel.protocol.items import to_json
from agent_kernel.runtime.observe.tracing import Ended
from agent_kernel.tools.catalogue import catalogue

if TYPE_CHECKING:
    from openai.types.responses import Response

    from agent_kernel.models.base import ModelRequest
    from agent_kernel.runtime.observe.tracing import TurnTags

Json = Mapping[str, Any]

AGENT = "agent-kernel"
_SETTINGS = {"temperature": "temperature", "top_p": "top_p", "max_output_tokens": "max_tokens"}


class Telemetry:
    """Watches turns with a provider's tracer.

    `content`: also put messages and output on the spans. `flush` sends all waiting spans, and blocks until
    they are sent.
    """

    def __init__(
        self, provider: TracerProvider, *, content: bool = False, flush: Callable[[], object] | None = None
    ) -> None:
        self._flush = flush
        self._tracer = provider.get_tracer(AGENT, __version__)
        self._content = content

    def turn(self, tags: TurnTags) -> TurnTrace:
        """Begin the span of a turn, below whatever span is current."""
        return TurnTrace(self._tracer, tags, content=self._content)

    async def aclose(self) -> None:
        """See `Tracing`."""
        if self._flush is not None:
            await asyncio.to_thread(self._flush)


class TurnTrace:
    """One turn's spans. No span is ever made the current one: a generator may be resumed anywhere."""

    def __init__(self, tracer: Tracer, tags: TurnTags, *, content: bool) -> None:
        self._tracer = tracer
        self._content = content
        self._model = tags.upstream_name
        about = {
            "gen_ai.provider.name": _provider(tags.model),
            "agent_kernel.response.id": tags.response_id,
            "agent_kernel.container.id": tags.container_id,
            "gen_ai.conversation.id": tags.conversation_id,
        }
        self._about = {name: value for name, value in about.items() if value is not None}
        self._span = tracer.start_span(
            f"invoke_agent {AGENT}",
            kind=SpanKind.INTERNAL,
            attributes={
                **self._about,
                "gen_ai.operation.name": "invoke_agent",
                "gen_ai.agent.name": AGENT,
                "gen_ai.agent.version": __version__,
                "gen_ai.request.model": self._model,
                "gen_ai.response.id": tags.response_id,
            },
        )
        self._parent = trace.set_span_in_context(self._span)

    async def chat(
        self, request: ModelRequest, source: AsyncGenerator[ModelDelta, None]
    ) -> AsyncGenerator[ModelDelta, None]:
        """See `Trace`."""
        attributes: dict[str, Any] = {"gen_ai.request.model": self._model, "gen_ai.request.stream": True}
        for name, theirs in _SETTINGS.items():
            if request.settings.get(name) is not None:
                attributes[f"gen_ai.request.{theirs}"] = request.settings[name]
        said, reason = list[ModelDelta](), "stop"
        with self._child("chat", self._model, SpanKind.CLIENT, attributes) as span:
            async with aclosing(source) as deltas:
                async for delta in deltas:
                    match delta:
                        case Usage():
                            span.set_attributes(_usage(delta))
                        case Truncated():
                            reason = "length" if delta.reason == "max_output_tokens" else delta.reason
                        case CallDone() | CallDelta():
                            reason = "tool_call"
                    if self._content:
                        said.append(delta)
                    yield delta
            span.set_attribute("gen_ai.response.finish_reasons", [reason])
            if self._content:
                span.set_attributes(_conversation(request, said, reason))

    @contextmanager
    def tool(self, tool: str, call_id: str, arguments: Json) -> Iterator[Ended]:
        """See `Trace`."""
        attributes: dict[str, Any] = {
            "gen_ai.tool.name": tool,
            "gen_ai.tool.type": "function",
            "gen_ai.tool.call.id": call_id,
        }
        if self._content:
            attributes["gen_ai.tool.call.arguments"] = json.dumps(arguments)
        with self._child("execute_tool", tool, SpanKind.INTERNAL, attributes) as span:

            def ended(outcomes: Sequence[str], result: str) -> None:
                span.set_attribute("agent_kernel.outcomes", list(outcomes))
                if self._content:
                    span.set_attribute("gen_ai.tool.call.result", result)

            yield ended

    def end(self, response: Response) -> None:
        """See `Trace`."""
        if response.usage is not None:
            tokens = response.usage
            self._span.set_attribute("gen_ai.usage.input_tokens", tokens.input_tokens)
            self._span.set_attribute("gen_ai.usage.output_tokens", tokens.output_tokens)
        details = response.incomplete_details
        reason = (details.reason if details else None) or response.status or "completed"
        self._span.set_attribute("gen_ai.response.finish_reasons", [reason])
        if response.status == "failed":
            code = response.error.code if response.error else "server_error"
            self._span.set_attribute("error.type", code)
            self._span.set_status(StatusCode.ERROR)
        self._span.end()

    @contextmanager
    def _child(self, operation: str, what: str, kind: SpanKind, attributes: Json) -> Iterator[Span]:
        """Open a span below the turn's. Only an error's type is recorded: its message may quote content."""
        span = self._tracer.start_span(
            f"{operation} {what}",
            context=self._parent,
            kind=kind,
            attributes={**self._about, "gen_ai.operation.name": operation, **attributes},
        )
        try:
            yield span
        except BaseException as error:
            span.set_attribute("error.type", type(error).__name__)
            if isinstance(error, Exception):  # what was left or cancelled has not failed
                span.set_status(StatusCode.ERROR)
            raise
        finally:
            span.end()


def _provider(model: str) -> str:
    """Return the provider of a model: the prefix of its name, which selects the upstream."""
    prefix, slash, _ = model.partition("/")
    return prefix if slash else "openai"


def _usage(usage: Usage) -> dict[str, int]:
    return {
        "gen_ai.usage.input_tokens": usage.input_tokens,
        "gen_ai.usage.output_tokens": usage.output_tokens,
        "gen_ai.usage.cache_read.input_tokens": usage.cached_tokens,
        "gen_ai.usage.reasoning.output_tokens": usage.reasoning_tokens,
    }


def _conversation(request: ModelRequest, said: Sequence[ModelDelta], reason: str) -> dict[str, str]:
    """Return messages in the format of the conventions' attributes."""
    text = "".join(delta.text for delta in said if isinstance(delta, TextDelta))
    parts = [{"type": "text", "content": text}] if text else []
    parts += [
        _call(delta.call_id, delta.tool.type, _made(delta)) for delta in said if isinstance(delta, CallDone)
    ]
    answer = [{"role": "assistant", "parts": parts, "finish_reason": reason}]
    content = {
        "gen_ai.input.messages": json.dumps([_message(item) for item in request.input]),
        "gen_ai.output.messages": json.dumps(answer),
    }
    if request.instructions:
        told = [{"type": "text", "content": request.instructions}]
        content["gen_ai.system_instructions"] = json.dumps(told)
    return content


def _call(call_id: str, name: str, arguments: Any) -> dict[str, Any]:
    return {"type": "tool_call", "id": call_id, "name": name, "arguments": arguments}


def _made(call: CallDone) -> Json:
    draft = call.tool.call_draft(0, count(), CallStart(call.call_id, call.name))
    draft.complete(call)
    tool = catalogue().of_call(call.tool.call_type)
    return tool.arguments(to_json(draft.item("completed"))) if tool is not None else {}


def _message(item: Json) -> dict[str, Any]:
    kind = str(item.get("type"))
    if is_rejected(item):
        made = _call(str(item.get("id")), str(item.get("name")), item.get("arguments"))
        return {"role": "assistant", "parts": [made]}
    if (tool := catalogue().of_call(kind)) is not None:
        made = _call(item["call_id"], item.get("name") or tool.type, tool.arguments(item))
        return {"role": "assistant", "parts": [made]}
    if catalogue().of_output(kind) is not None:
        result = {"type": "tool_call_response", "id": item["call_id"], "result": item["output"]}
        return {"role": "tool", "parts": [result]}
    match item.get("type"):
        case "message":
            content = item.get("content")
            parts = [{"text": content}] if isinstance(content, str) else content or []
            texts = [{"type": "text", "content": part["text"]} for part in parts if part.get("text")]
            return {"role": item.get("role"), "parts": texts}
    return {"role": "assistant", "parts": [{"type": str(item.get("type"))}]}
