"""The budget of one turn: tokens, tool calls, seconds.

The operator's budget applies to every turn. A request may set a smaller one in `agent_kernel.budget`. A turn
that reaches a limit ends as `incomplete` with one of the reasons below. Its results are kept and every call
has an output. It can be continued, and the next turn has a new budget.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any

from agent_kernel.runtime.turns.context.estimate import estimate
from agent_kernel.runtime.turns.context.gauge import LEAST_ANSWER
from agent_kernel.runtime.turns.interrupt import Interrupt

Json = Mapping[str, Any]

MAX_TOKENS = "agent_kernel.max_tokens"
"""`incomplete_details.reason` of a turn that has used up its tokens."""

MAX_TOOL_CALLS = "agent_kernel.max_tool_calls"
"""`incomplete_details.reason` of a turn that wanted more shell calls than it may make."""

MAX_SECONDS = "agent_kernel.max_seconds"
"""`incomplete_details.reason` of a turn that took too long."""


@dataclass(frozen=True)
class Budget:
    """The limits of one turn; None: no limit. Tokens count input and output of all model calls."""

    tokens: int | None = None
    tool_calls: int | None = None
    seconds: float | None = None

    def within(self, other: Budget) -> Budget:
        """Return the smaller of both, field by field."""
        pairs = ((getattr(self, each.name), getattr(other, each.name)) for each in fields(self))
        return Budget(*(min((v for v in pair if v is not None), default=None) for pair in pairs))


def read_budget(ours: Json) -> Budget:
    """Return the budget in the `agent_kernel` field of a request that was checked."""
    return Budget(**(ours.get("budget") or {}))


class Meter:
    """The used part of a turn's budget. `reached` is the reason for its end, once a limit is reached."""

    def __init__(self, budget: Budget | None = None) -> None:
        self.budget = budget or Budget()
        self.reached: str | None = None
        self._used = 0
        self._reported = 0
        self._capped = False

    def answer_limit(self, told: Sequence[Json], other: int | None) -> int | None:
        """Return the most tokens that the next answer may have. `other` is what the request's limit leaves.

        With too few left the budget is `reached`, and the model must not be called. Input is counted only if
        there is a limit, because counting takes time.
        """
        if self.budget.tokens is None:
            return other
        left = self.budget.tokens - self._used - estimate(told)
        if left < LEAST_ANSWER:
            self.reached = MAX_TOKENS
        self._capped = other is None or left < other
        return left if self._capped else other

    def answered(self, reported: int, told: Sequence[Json], said: Sequence[Json]) -> None:
        """Count the tokens of a finished model call.

        `reported` are the tokens of the turn so far. If the upstream reports none, they are estimated from
        the input (`told`) and the output (`said`).
        """
        if self.budget.tokens is not None:
            self._used += (reported - self._reported) or estimate(told) + estimate(said)
            self._reported = reported

    def may_call(self, calls: int) -> bool:
        """Return whether the shell may be called. `calls` counts the turn's calls, including this one."""
        if self.budget.tool_calls is not None and calls > self.budget.tool_calls:
            self.reached = MAX_TOOL_CALLS
            return False
        return True

    def named(self, truncated: str | None) -> str | None:
        """Return why the model was cut off, None if it was not. It may have been cut off by the budget."""
        return MAX_TOKENS if truncated == "max_output_tokens" and self._capped else truncated


@contextmanager
def deadline(interrupt: Interrupt, seconds: float | None, begun_at: float) -> Iterator[None]:
    """Stop the turn's model and its running commands `seconds` after `begun_at`, a monotonic time."""
    if seconds is None:
        yield
        return
    left = max(0.0, begun_at + seconds - time.monotonic())
    timer = asyncio.get_running_loop().call_later(left, interrupt.stop, "incomplete", MAX_SECONDS)
    try:
        yield
    finally:
        timer.cancel()
