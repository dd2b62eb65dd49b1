"""What the user said and ran in a conversation, as requests to any model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent_kernel.conversion.exchanges import BY_USER
from agent_kernel.models.conversation import text_of
from agent_kernel.store.records import ResponseRow

Json = Mapping[str, Any]

_KEPT = ("instructions", "agent_kernel", "max_output_tokens", "parallel_tool_calls")
"""Fields of a request that are repeated. Others, such as a temperature, may be for one model only."""


@dataclass(frozen=True)
class ReplayPrompt:
    """One turn of the user's. `fields` are those of its request that do not depend on model and container.

    `runs` is the model of a command of the user's own, which every replay repeats; None for a prompt.
    """

    text: str
    fields: Json
    tools: Sequence[Json]
    runs: str | None = None

    def request(self, model: str, container_id: str, previous_id: str | None) -> dict[str, Any]:
        """Return the request of this turn to a model."""
        asked = {
            **self.fields,
            "model": self.runs or model,
            "tools": [_in_container(spec, container_id) for spec in self.tools],
            "previous_response_id": previous_id,
            "store": True,
            "stream": True,
        }
        return {name: value for name, value in asked.items() if value is not None}


def prompts_of(rows: Sequence[ResponseRow]) -> list[ReplayPrompt]:
    """Return the turns of a chain in which the user said something: answers to calls are left out."""
    found = []
    for row in rows:
        said = [item for item in row.input if item["type"] == "message" and item.get("role") != "assistant"]
        asked = [item for item in said if item.get("role") == "user"]
        if asked:
            kept = {name: row.request[name] for name in _KEPT if row.request.get(name) is not None}
            messages = [
                {"type": "message", "role": each["role"], "content": each["content"]} for each in said
            ]
            text = "\n\n".join(text_of(each.get("content")) for each in asked)
            tools = [spec for spec in row.request.get("tools") or () if spec.get("type") in _CONTAINERS]
            runs = row.model if row.model in BY_USER else None
            found.append(ReplayPrompt(text, {**kept, "input": messages}, tools, runs))
    return found


def _in_container(spec: Json, container_id: str) -> Json:
    return _CONTAINERS[spec["type"]](spec, container_id)


def _shell(_: Json, container_id: str) -> Json:
    return {"type": "shell", "environment": {"type": "container_reference", "container_id": container_id}}


def _code(spec: Json, container_id: str) -> Json:
    ours = {**(spec.get("agent_kernel") or {}), "outputs": True}
    return {"type": "code_interpreter", "container": container_id, "agent_kernel": ours}


_CONTAINERS = {"shell": _shell, "code_interpreter": _code}
"""The tools that run in a container. A replay cannot answer calls of others."""
