"""Calls in progress: a model is writing the JSON arguments."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import jiter

from agent_kernel.errors import MalformedCall
from agent_kernel.protocol.calls import CallDelta, CallDone, CallKind

_PARSED = 64 * 1024
"""Characters of a call's JSON that are shown while the model writes it."""
_EXCERPT = 200
"""Characters of a malformed call that the error message repeats."""


class ReadsArguments(CallKind, Protocol):
    """A tool, as far as it reads calls that come as a function's JSON."""

    def read_arguments(self, call_id: str, arguments: str) -> CallDone:
        """See `Tool.read_arguments`."""
        ...


class LiveCall:
    """A call in progress. Streams the JSON as the call's only part; a tool may show something better."""

    def __init__(self, tool: ReadsArguments, call_id: str) -> None:
        self.tool = tool
        self.call_id = call_id
        self.arguments = ""
        self.name: str | None = None
        """The name of the called function, if the tool has several."""

    def write(self, piece: str) -> Iterator[CallDelta]:
        """Add a piece of the JSON and yield what it adds to the call."""
        self.arguments += piece
        if piece:
            yield CallDelta(self.tool, self.call_id, piece, name=self.name)

    def begun(self, piece: str) -> Any:
        """Add a piece of the JSON; return the value as far as it is written, or None.

        Each piece is parsed together with all before it, so this stops at a certain length. `done` returns
        the whole call all the same, and reports what is not JSON.
        """
        self.arguments += piece
        if not piece or len(self.arguments) > _PARSED:
            return None
        try:
            return jiter.from_json(self.arguments.encode(), partial_mode="trailing-strings")
        except ValueError:
            return None

    def done(self) -> CallDone:
        """Return the complete call. Raises `MalformedModelOutput`."""
        return self.tool.read_arguments(self.call_id, self.arguments)


def malformed_call(tool: str, why: str, arguments: str) -> MalformedCall:
    """Make the error for a call that cannot be carried out."""
    excerpt = arguments if len(arguments) <= _EXCERPT else arguments[:_EXCERPT] + "…"
    return MalformedCall(
        f"The model called the tool {tool} in a way that cannot be carried out: {why}. It sent: {excerpt}",
        why=why,
        hint="Send it again, or choose another model.",
    )
