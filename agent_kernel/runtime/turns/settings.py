"""Settings for the limits of a turn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agent_kernel.runtime.turns.budgets import Budget


@dataclass(frozen=True)
class TurnSettings:
    """Limits of every turn."""

    max_steps: int = 50
    """Model calls in one turn. After that the response is incomplete and can be continued."""
    max_step_tokens: int = 16_384
    """Tokens of one answer, estimated, if the request sets no `max_output_tokens`. 0: no limit."""
    max_rejected: int = 3
    """Model calls in a row that made only calls that were rejected. After that the response is incomplete."""
    budget: Budget = field(default_factory=Budget)
    """The budget of each turn; see `runtime.turns.budgets`."""
    steer_grace: float = 5.0
    """Seconds that a running command has to end before a steering message stops it."""
    tools: Mapping[str, Any] = field(default_factory=dict)
    """Limits of single tools, by the tool's type; each tool has its own class for them."""
