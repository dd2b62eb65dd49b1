"""Tracing with OpenTelemetry's provider and exporter, configured by its environment variables."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from agent_kernel.errors import ConfigurationError

if TYPE_CHECKING:
    from agent_kernel.config import Settings
    from agent_kernel.runtime.observe.tracing import Tracing

FLUSH_MS = 5000
"""Milliseconds that a process waits for the collector when it exits."""


def tracing(settings: Settings) -> Tracing:
    """Return the tracing of turns; it does nothing unless the settings turn it on.

    Raises `ConfigurationError` where the extra `otel` is not installed.
    """
    from agent_kernel.runtime.observe.tracing import UNWATCHED

    if not settings.telemetry.otel:
        return UNWATCHED
    try:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        from agent_kernel.runtime.observe.telemetry import AGENT, Telemetry
    except ImportError as error:
        raise ConfigurationError(
            f"AGENT_KERNEL_OTEL is set, but OpenTelemetry is not installed ({error}).",
            hint="Install it: pip install 'jupyter-agent-kernel[otel]'",
        ) from error
    provider = trace.get_tracer_provider()
    if not isinstance(provider, TracerProvider):  # otherwise the program around us has set one up
        resource = Resource.create()
        if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
            resource = resource.merge(Resource({SERVICE_NAME: AGENT}))
        provider = TracerProvider(resource=resource)
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    content = settings.telemetry.otel_content
    return Telemetry(provider, content=content, flush=partial(provider.force_flush, FLUSH_MS))
