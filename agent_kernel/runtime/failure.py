"""The end of a stream that had begun and can no longer end as it should."""

from __future__ import annotations

from typing import Any

from openai.types.responses import Response, ResponseErrorEvent, ResponseFailedEvent, ResponseStreamEvent
from openai.types.responses.response_error import ResponseError


def failed_events(response: Response, message: str, number: int) -> list[ResponseStreamEvent]:
    """Make an `error` event with sequence number `number`, and `response.failed` after it.

    `response` is the last that is known. As from the assembler, the error is there flat and nested: other
    clients know one or the other.
    """
    fields: dict[str, Any] = {"code": "server_error", "message": message, "param": None}
    error = ResponseError(code="server_error", message=message)
    failed = response.model_copy(update={"status": "failed", "error": error})
    return [
        ResponseErrorEvent.construct(
            type="error", sequence_number=number, **fields, error={"type": "server_error", **fields}
        ),
        ResponseFailedEvent.construct(type="response.failed", response=failed, sequence_number=number + 1),
    ]
