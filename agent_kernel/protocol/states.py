"""The transitions of a response's stream, in one table."""

from __future__ import annotations

from enum import Enum, auto

from agent_kernel.protocol.calls import CallDelta, CallDone
from agent_kernel.protocol.deltas import (
    ItemBreak,
    ModelDelta,
    ReasoningDelta,
    ReasoningOpaque,
    RefusalDelta,
    TextDelta,
)


class State(Enum):
    """Where the stream is; REASONING, MESSAGE and CALL are the kinds of item that a model may have open."""

    NEW = auto()
    BETWEEN = auto()
    REASONING = auto()
    MESSAGE = auto()
    CALL = auto()
    ENDED = auto()


class Act(Enum):
    """What the runtime does, apart from feeding deltas."""

    BEGIN = auto()
    END_STEP = auto()
    OUTPUT = auto()
    END = auto()


_MODEL_SPEAKS: dict[type[ModelDelta] | Act, State] = {
    ReasoningDelta: State.REASONING,
    ReasoningOpaque: State.REASONING,
    TextDelta: State.MESSAGE,
    RefusalDelta: State.MESSAGE,
    CallDelta: State.CALL,
    CallDone: State.CALL,
    ItemBreak: State.BETWEEN,
    Act.END_STEP: State.BETWEEN,
    Act.END: State.ENDED,
}

TRANSITIONS: dict[State, dict[type[ModelDelta] | Act, State]] = {
    State.NEW: {Act.BEGIN: State.BETWEEN},
    State.BETWEEN: {**_MODEL_SPEAKS, Act.OUTPUT: State.BETWEEN},
    State.REASONING: _MODEL_SPEAKS,
    State.MESSAGE: _MODEL_SPEAKS,
    State.CALL: _MODEL_SPEAKS,
    State.ENDED: {},
}
"""No entry: not allowed. Leaving a state, or coming back to it with another call id, closes its item.
`Usage` and `Truncated` are about the step, not about an item, and leave the state as it is."""


def follow(state: State, act: type[ModelDelta] | Act) -> State:
    """Look the next state up. Raises `RuntimeError` where the table has none."""
    try:
        return TRANSITIONS[state][act]
    except KeyError:
        name = act.name if isinstance(act, Act) else act.__name__
        raise RuntimeError(f"{name} is not possible in state {state.name}.") from None
