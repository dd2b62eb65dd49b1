"""The `error` event, as every reader of a stream understands it."""

from __future__ import annotations

from typing import Any

from agent_kernel.protocol import items as t


def error_event(code: str, message: str, number: int) -> t.ResponseErrorEvent:
    """Make an `error` event with sequence number `number`.

    Its fields are there twice: flat, as the package's type has them, and nested in `error`, the form on which
    the package's client raises instead of passing it on.
    """
    fields: dict[str, Any] = {"code": code, "message": message, "param": None}
    return t.ResponseErrorEvent.construct(
        type="error", sequence_number=number, **fields, error={"type": "server_error", **fields}
    )
