"""Items of any shape that a store may hold after an import: refused in words, or converted, never a crash."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from agent_kernel.conversion.anthropic import to_anthropic
from agent_kernel.conversion.chat import to_chat
from agent_kernel.conversion.code.plan import plan
from agent_kernel.conversion.exchanges import exchanges
from agent_kernel.conversion.markdown import to_markdown
from agent_kernel.conversion.reading import checked
from agent_kernel.conversion.replay.prompts import prompts_of
from agent_kernel.errors import InvalidRequest
from agent_kernel.store.records import ResponseRow
from tests.conversion.rows import PIXEL_URL, SHELL, answer, code, message, printed, shell, turn

DEEP: Any = []
for _ in range(500):
    DEEP = [DEEP]
ODD: list[Any] = [None, 5, -1, True, "", "x\x1b\ud800", [], [None], {}, {"type": 5}, [{"type": None}], DEEP]

WHOLE = {
    **code("plot()", "done\n", pictures=[PIXEL_URL]),
    "id": "ci_2",
    "agent_kernel": {
        "outputs": [
            {"output_type": "stream", "name": "stdout", "text": "x"},
            {"output_type": "display_data", "data": {"image/png": PIXEL_URL[22:], "text/plain": "p"}},
            {"output_type": "error", "ename": "E", "evalue": "v", "traceback": ["E: v"]},
        ]
    },
}
REJECTED = {
    "type": "mcp_call",
    "id": "mcp_1",
    "server_label": "agent_kernel",
    "name": "none",
    "arguments": "{",
    "error": {"type": "x", "message": "No."},
}
ROW = turn(
    1,
    [
        message("developer", "Told."),
        message("user", "Draw.", {"type": "input_image", "image_url": PIXEL_URL}),
    ],
    [
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}]},
        shell("ls"),
        printed(("a\n", "", 0)),
        code("plot()", "done\n", pictures=[PIXEL_URL]),
        WHOLE,
        REJECTED,
        answer("Drawn."),
    ],
    request={"instructions": "Be brief.", "tools": [SHELL]},
    response={"usage": {"total_tokens": 5}, "incomplete_details": {"reason": "x"}, "completed_at": 5},
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of each value inside of a JSON value."""
    inner = (
        value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    )
    for name, each in inner:
        yield (*path, name)
        yield from places(each, (*path, name))


def changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """Return a copy in which one value is another; `KeyError` as a value removes it."""
    made = copy.deepcopy(value)
    inner = made
    for name in path[:-1]:
        inner = inner[name]
    if new is KeyError:
        del inner[path[-1]]
    else:
        inner[path[-1]] = new
    return made


def convert(row: ResponseRow) -> None:
    rows = checked([row])
    json.dumps(to_chat(rows))
    json.dumps(to_anthropic(rows))
    to_markdown(rows).text.encode()
    plan(exchanges(rows))
    prompts_of(rows)


@pytest.mark.parametrize("field", ["input", "response", "request"])
def test_a_value_of_any_type_is_refused_or_converted(field: str) -> None:
    value = json.loads(json.dumps(getattr(ROW, field)))
    count = refused = 0
    for path in places(value):
        for new in [KeyError, *ODD]:
            count += 1
            try:
                convert(replace(ROW, status="incomplete", **{field: changed(value, path, new)}))
            except InvalidRequest:
                refused += 1
    assert 0 < refused < count
