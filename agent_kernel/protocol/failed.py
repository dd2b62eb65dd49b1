"""The `error` event, in a form that every client understands."""

from __future__ import annotations

from typing import Any

from agent_kernel.protocol import items as t


def error_event(code: str, message: str, number: int) -> t.ResponseErrorEvent:
    """Make an `error` event with sequence number `number`.

    Its fields appear twice: flat, as in the package's type, and nested in `error`, because then the package's
    client raises instead of yielding the event.
    """
    fields: dict[str, Any] = {"code": code, "message": message, "param": None}
    return t.ResponseErrorEvent.construct(
        type="error", sequence_number=number, **fields, error={"type": "server_error", **fields}
    )
