"""The token usage of a turn."""

from __future__ import annotations

from collections.abc import Sequence

from openai.types.responses.response_usage import InputTokensDetails, OutputTokensDetails

from agent_kernel.protocol.deltas import Usage
from agent_kernel.protocol.items import ResponseUsage


def total_usage(steps: Sequence[Usage]) -> ResponseUsage:
    """Return the sum over all steps. It is zero if no model reported any: strict clients reject null."""
    taken = sum(step.input_tokens for step in steps)
    given = sum(step.output_tokens for step in steps)
    return ResponseUsage(
        input_tokens=taken,
        input_tokens_details=InputTokensDetails(
            cached_tokens=sum(step.cached_tokens for step in steps), cache_write_tokens=0
        ),
        output_tokens=given,
        output_tokens_details=OutputTokensDetails(
            reasoning_tokens=sum(step.reasoning_tokens for step in steps)
        ),
        total_tokens=taken + given,
    )
