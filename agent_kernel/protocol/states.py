"""The states and transitions of a response's stream."""

from __future__ import annotations

from enum import Enum, auto

from agent_kernel.protocol.calls import CallDelta, CallDone, RejectedCall
from agent_kernel.protocol.deltas import (
    AnnotationDelta,
    ItemBreak,
    MessagePhase,
    ModelDelta,
    ReasoningDelta,
    ReasoningOpaque,
    RefusalDelta,
    TextDelta,
    UpstreamItem,
)


class State(Enum):
    """A state of the stream. In REASONING, MESSAGE and CALL the model has an open item of that kind."""

    NEW = auto()
    BETWEEN = auto()
    REASONING = auto()
    MESSAGE = auto()
    CALL = auto()
    ENDED = auto()


class Act(Enum):
    """An action of the runtime, apart from feeding deltas."""

    BEGIN = auto()
    END_STEP = auto()
    OUTPUT = auto()
    END = auto()


_MODEL_SPEAKS: dict[type[ModelDelta] | Act, State] = {
    ReasoningDelta: State.REASONING,
    ReasoningOpaque: State.REASONING,
    TextDelta: State.MESSAGE,
    AnnotationDelta: State.MESSAGE,
    RefusalDelta: State.MESSAGE,
    MessagePhase: State.MESSAGE,
    CallDelta: State.CALL,
    CallDone: State.CALL,
    RejectedCall: State.BETWEEN,
    ItemBreak: State.BETWEEN,
    UpstreamItem: State.BETWEEN,
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
"""Transitions not listed are not allowed. Leaving a state, or reentering it with another call id, closes its
item. `Usage`, `Truncated` and `Notice` belong to the step, not to an item, and do not change the state. Nor
do `UpstreamEvent` and `UpstreamItemDone`, whose item is open beside the others."""


def follow(state: State, act: type[ModelDelta] | Act) -> State:
    """Return the next state. Raises `RuntimeError` if the table does not allow the transition."""
    try:
        return TRANSITIONS[state][act]
    except KeyError:
        name = act.name if isinstance(act, Act) else act.__name__
        raise RuntimeError(f"{name} is not possible in state {state.name}.") from None
