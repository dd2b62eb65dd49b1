"""The last events of a stream that has failed after its start."""

from __future__ import annotations

from openai.types.responses import Response, ResponseFailedEvent, ResponseStreamEvent
from openai.types.responses.response_error import ResponseError

from agent_kernel.protocol.response import error_event


def failed_events(response: Response, message: str, number: int) -> list[ResponseStreamEvent]:
    """Make an `error` event with sequence number `number`, and `response.failed` after it.

    `response` is the last that is known.
    """
    error = ResponseError(code="server_error", message=message)
    failed = response.model_copy(update={"status": "failed", "error": error})
    return [
        error_event("server_error", message, number),
        ResponseFailedEvent.construct(type="response.failed", response=failed, sequence_number=number + 1),
    ]
