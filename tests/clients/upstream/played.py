# mypy: disable-error-code="import-not-found,misc"
"""A model behind a LiteLLM proxy, which runs this file in an environment of its own.

It answers by the last user message, step by step; what it says goes through LiteLLM's own encoders for Chat
Completions and for the Responses API.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

from litellm import CustomLLM

Step = list[Any]  # texts, and calls as (function, arguments)

TURNS: dict[str, list[Step]] = {
    "collect the measurements": [
        [
            "Let me ",
            "look.",
            ("shell", {"commands": ["mkdir run; cd run; UNIT=mm", "echo 4 8 > numbers.txt", "echo ä >&2"]}),
        ],
        ["Now I ", "read it.", ("shell", {"commands": ["cat numbers.txt"]})],
    ],
    "add them up": [
        [("shell", {"commands": ["pwd", "echo $(( $(tr ' ' '+' < numbers.txt) )) $UNIT"]})],
        [("shell", {"commands": ["ls"]})],
    ],
    "compare with the weather": [
        [
            "Both at once.",
            ("shell", {"commands": ["echo inside 21"]}),
            ("get_weather", {"city": "Oslo"}),
        ],
    ],
}


class Played(CustomLLM):
    """What LiteLLM calls for the model `played/...`."""

    async def astreaming(
        self, model: str, messages: list[dict[str, Any]], **_: Any
    ) -> AsyncIterator[dict[str, Any]]:
        """One step, in pieces; the answer at the end quotes the last result and counts what it was told."""
        said = [index for index, message in enumerate(messages) if message["role"] == "user"][-1]
        prompt = _text(messages[said])
        if prompt == "fail":
            raise RuntimeError("The played model fails as it was told to.")
        if prompt == "break off":
            yield _chunk("I was about to ")
            yield _chunk(tool=_call(0, '{"commands": ["touch half; touch ', id="call_0", name="shell"))
            raise RuntimeError("The played model breaks off as it was told to.")
        since = messages[said + 1 :]
        step = sum(message["role"] == "assistant" for message in since)
        steps = TURNS.get(prompt, [])
        if step >= len(steps):
            results = [_text(message) for message in since if message["role"] == "tool"]
            for word in f"{len(messages)} messages; {' | '.join(results)}".split(" "):
                yield _chunk(word + " ")
            yield _chunk(finish="stop")
            return
        for index, part in enumerate(steps[step]):
            if isinstance(part, str):
                yield _chunk(part)
                continue
            name, arguments = part
            call_id = f"call_{len(messages)}_{index}"
            yield _chunk(tool=_call(index, "", id=call_id, name=name))
            written = json.dumps(arguments, ensure_ascii=False)
            for start in range(0, len(written), 7):
                yield _chunk(tool=_call(index, written[start : start + 7]))
        yield _chunk(finish="tool_calls" if any(isinstance(p, tuple) for p in steps[step]) else "stop")


def _text(message: dict[str, Any]) -> str:
    content = message["content"]
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


def _call(index: int, arguments: str, **named: str) -> dict[str, Any]:
    function = {"name": named.get("name"), "arguments": arguments}
    return {"id": named.get("id"), "type": "function", "index": index, "function": function}


def _chunk(text: str = "", tool: dict[str, Any] | None = None, finish: str = "") -> dict[str, Any]:
    usage = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
    return {
        "text": text,
        "tool_use": tool,
        "index": 0,
        "is_finished": bool(finish),
        "finish_reason": finish,
        "usage": usage if finish else None,
    }


played = Played()
