"""What turns may use, as an operator says it."""

from __future__ import annotations

from traitlets import Float, Int
from traitlets.config import Configurable


class BudgetSettings(Configurable):
    """What one turn may use; it ends as `incomplete` when it reaches one of these, and can be continued."""

    max_steps = Int(50, min=1, help="""Calls of the model in one turn.""").tag(
        config=True, variable="AGENT_KERNEL_MAX_STEPS"
    )
    max_tokens = Int(
        0,
        min=0,
        help="""Tokens of one turn, those of input and output of all its calls of the model together. 0: no
        limit.""",
    ).tag(config=True, variable="AGENT_KERNEL_MAX_TOKENS")
    max_tool_calls = Int(0, min=0, help="""Shell calls in one turn. 0: no limit.""").tag(
        config=True, variable="AGENT_KERNEL_MAX_TOOL_CALLS"
    )
    max_seconds = Float(
        0.0,
        min=0.0,
        help="""Seconds that one turn may take; a command that runs then is stopped. 0: no limit.""",
    ).tag(config=True, variable="AGENT_KERNEL_MAX_SECONDS")
