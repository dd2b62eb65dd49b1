"""A conversation as a request body of the Chat Completions API.

`messages` and `tools` are complete; the reader adds `model`. Developer messages and instructions have the
role `system`, which every server of this API knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agent_kernel.conversion.transcript import conversation, functions, instructions
from agent_kernel.models.chat_input import translate
from agent_kernel.models.offered import Offered
from agent_kernel.store.records import ResponseRow


def to_chat(rows: Sequence[ResponseRow]) -> dict[str, Any]:
    """Return `messages`, and `tools` if there are any. Pictures are `data:` URLs in user messages."""
    offered = Offered((), native=False)
    body: dict[str, Any] = {
        "messages": translate(conversation(rows), instructions=instructions(rows), offered=offered)
    }
    if tools := functions(rows):
        body["tools"] = [{"type": "function", "function": dict(each)} for each in tools]
    return body
