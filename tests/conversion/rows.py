"""Stored turns for tests, as a server stores them."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from agent_kernel.store.records import ResponseRow

Json = Mapping[str, Any]

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
PIXEL_URL = f"data:image/png;base64,{base64.b64encode(PIXEL).decode()}"

SHELL = {"type": "shell", "environment": {"type": "container_auto"}}
CODE = {"type": "code_interpreter", "container": {"type": "auto"}, "agent_kernel": {"outputs": True}}


def message(role: str, *content: Any) -> Json:
    parts = [{"type": "input_text", "text": each} if isinstance(each, str) else each for each in content]
    return {"type": "message", "id": f"msg_{role}", "role": role, "content": parts}


def answer(text: str) -> Json:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {"type": "message", "id": "msg_a", "role": "assistant", "status": "completed", "content": content}


def shell(*commands: str, call_id: str = "call_1") -> Json:
    action = {"commands": list(commands), "timeout_ms": None, "max_output_length": None}
    return {"type": "shell_call", "id": f"sh_{call_id}", "call_id": call_id, "action": action}


def printed(*outputs: tuple[str, str, int | None], call_id: str = "call_1") -> Json:
    contents = [
        {
            "stdout": out,
            "stderr": err,
            "outcome": {"type": "timeout"} if code is None else {"type": "exit", "exit_code": code},
        }
        for out, err, code in outputs
    ]
    return {"type": "shell_call_output", "id": f"sho_{call_id}", "call_id": call_id, "output": contents}


def code(text: str, logs: str = "", *, pictures: Sequence[str] = (), item_id: str = "ci_1") -> Json:
    outputs: list[Json] = [{"type": "image", "url": url} for url in pictures]
    outputs += [{"type": "logs", "logs": logs}] if logs else []
    fields = {"code": text, "container_id": "cntr_1", "outputs": outputs, "status": "completed"}
    return {"type": "code_interpreter_call", "id": item_id, **fields}


def turn(
    number: int,
    given: Sequence[Json],
    output: Sequence[Json],
    *,
    status: str = "completed",
    model: str = "chat/m",
    request: Json | None = None,
    response: Json | None = None,
) -> ResponseRow:
    return ResponseRow(
        id=f"resp_{number}",
        created_at=1_760_000_000.0 + number,
        status=status,
        model=model,
        previous_id=f"resp_{number - 1}" if number > 1 else None,
        container_id="cntr_1",
        request=request if request is not None else {"tools": [SHELL, CODE]},
        input=given,
        response={"output": list(output), "usage": {"total_tokens": 100}, **(response or {})},
    )
