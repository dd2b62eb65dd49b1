"""What turns may use, and how they are watched, as an operator says it."""

from __future__ import annotations

from traitlets import Bool, Float, Int
from traitlets.config import Configurable


class BudgetSettings(Configurable):
    """What one turn may use; it ends as `incomplete` when it reaches one of these, and can be continued."""

    max_steps = Int(50, min=1, help="""Calls of the model in one turn.""").tag(
        config=True, variable="AGENT_KERNEL_MAX_STEPS"
    )
    max_tokens = Int(
        0,
        min=0,
        help="""Tokens of one turn, those of input and output of all its calls of the model together. 0: no
        limit.""",
    ).tag(config=True, variable="AGENT_KERNEL_MAX_TOKENS")
    max_tool_calls = Int(0, min=0, help="""Shell calls in one turn. 0: no limit.""").tag(
        config=True, variable="AGENT_KERNEL_MAX_TOOL_CALLS"
    )
    max_seconds = Float(
        0.0,
        min=0.0,
        help="""Seconds that one turn may take; a command that runs then is stopped. 0: no limit.""",
    ).tag(config=True, variable="AGENT_KERNEL_MAX_SECONDS")


class Content(Bool[bool, bool]):
    """Whether content goes on spans, in the words of OpenTelemetry's own variable."""

    def from_string(self, s: str) -> bool:
        """Read a word; those about events mean no here, since all there is are spans."""
        words = {"span_only": True, "span_and_event": True, "event_only": False, "no_content": False}
        word = s.lower()
        return words[word] if word in words else super().from_string(s)


class TelemetrySettings(Configurable):
    """How turns are watched; docs/api.md says how to send traces to a collector."""

    otel = Bool(
        False,
        help="""Send a trace of each turn by OpenTelemetry; needs the extra `otel`. Where to stands in its own
        variables, `OTEL_EXPORTER_OTLP_ENDPOINT` and the like.""",
    ).tag(config=True, variable="AGENT_KERNEL_OTEL")
    otel_content = Content(
        False,
        help="""Put on the spans what was said, run and printed, too: `true` or `span_only`.""",
    ).tag(config=True, variable="OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT")
