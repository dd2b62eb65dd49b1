"""Settings for the budget of turns and for traces."""

from __future__ import annotations

from traitlets import Bool, Float, Int
from traitlets.config import Configurable


class BudgetSettings(Configurable):
    """The budget of one turn. A turn that reaches a limit ends as `incomplete` and can be continued."""

    max_steps = Int(50, min=1, help="""Model calls in one turn.""").tag(
        config=True, variable="AGENT_KERNEL_MAX_STEPS"
    )
    max_step_tokens = Int(
        16_384,
        min=0,
        help="""Tokens, estimated, of one answer of the model, if the request sets no `max_output_tokens`: a
        model that never stops is stopped there. 0: no limit.""",
    ).tag(config=True, variable="AGENT_KERNEL_MAX_STEP_TOKENS")
    max_tokens = Int(
        0,
        min=0,
        help="""Input and output tokens of all model calls in one turn together. 0: no limit.""",
    ).tag(config=True, variable="AGENT_KERNEL_MAX_TOKENS")
    max_tool_calls = Int(0, min=0, help="""Tool calls in one turn. 0: no limit.""").tag(
        config=True, variable="AGENT_KERNEL_MAX_TOOL_CALLS"
    )
    max_seconds = Float(
        0.0,
        min=0.0,
        help="""Seconds that one turn may take; a command that is still running is stopped. 0: no limit.""",
    ).tag(config=True, variable="AGENT_KERNEL_MAX_SECONDS")


class Content(Bool[bool, bool]):
    """Whether spans carry content; accepts the values of OpenTelemetry's own variable."""

    def from_string(self, s: str) -> bool:
        """Parse a value. Those for events mean False, because only spans are sent."""
        words = {"span_only": True, "span_and_event": True, "event_only": False, "no_content": False}
        word = s.lower()
        return words[word] if word in words else super().from_string(s)


class TelemetrySettings(Configurable):
    """Traces of turns; docs/api.md describes how to send them to a collector."""

    otel = Bool(
        False,
        help="""Send a trace of each turn with OpenTelemetry; needs the extra `otel`. Its own variables, such
        as `OTEL_EXPORTER_OTLP_ENDPOINT`, set the destination.""",
    ).tag(config=True, variable="AGENT_KERNEL_OTEL")
    otel_content = Content(
        False,
        help="""Include messages, commands and output in the spans: `true` or `span_only`.""",
    ).tag(config=True, variable="OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT")
