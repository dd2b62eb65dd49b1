"""The error for tool calls that cannot be assembled."""

from __future__ import annotations

from typing import NoReturn

from agent_kernel.errors import MalformedCall


def agrees(known: list[str], parts: tuple[str, ...]) -> bool:
    """Return whether the streamed parts `known` are the beginning of `parts`."""
    if not known:
        return True
    if len(known) > len(parts):
        return False
    last = len(known) - 1
    return known[:last] == list(parts[:last]) and parts[last].startswith(known[last])


def malformed(call_id: str, why: str) -> NoReturn:
    """Raise `MalformedCall` with the reason and the call's id."""
    raise MalformedCall(
        f"The model made a tool call that cannot be carried out: {why} (call id {call_id[:80]!r}).",
        why=why,
        hint="Send it again, or choose another model.",
    )
