"""What is shortened for the model, and what is not."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_kernel.errors import ContextLengthExceeded
from agent_kernel.runtime.turns.context.estimate import ItemSizes, estimate
from agent_kernel.runtime.turns.context.gauge import LEARNED_FOR, Gauge, Gauges
from agent_kernel.runtime.turns.context.shortening import SUMMARY, cut, shorten

Item = dict[str, Any]


def message(role: str, text: str) -> Item:
    return {"type": "message", "role": role, "content": [{"type": "input_text", "text": text}]}


def step(number: int, text: str, kind: str = "function") -> list[Item]:
    """A call and its output."""
    call_id = f"c{number}"
    if kind == "shell":
        action = {"commands": ["x"]}
        outcome = {"type": "exit", "exit_code": 0}
        content = [{"stdout": text, "stderr": "", "outcome": outcome}]
        return [
            {"type": "shell_call", "call_id": call_id, "action": action},
            {"type": "shell_call_output", "call_id": call_id, "output": content},
        ]
    return [
        {"type": "function_call", "call_id": call_id, "name": "f", "arguments": "{}"},
        {"type": f"{kind}_call_output", "call_id": call_id, "output": text},
    ]


ITEMS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["user", "assistant", "developer"]), st.integers(0, 9000)),
        st.tuples(st.sampled_from(["shell", "function", "custom_tool"]), st.integers(0, 90_000)),
    ),
    max_size=12,
)


def made(shapes: list[tuple[str, int]]) -> list[Item]:
    items: list[Item] = []
    for number, (kind, length) in enumerate(shapes):
        is_message = kind in ("user", "assistant", "developer")
        items += [message(kind, "m" * length)] if is_message else step(number, "o" * length, kind)
    return items


@settings(max_examples=150, deadline=None)
@given(ITEMS, st.integers(-100, 40_000), st.booleans())
def test_shortened_items_keep_their_order_and_pairs(
    shapes: list[tuple[str, int]], room: int, messages: bool
) -> None:
    items = made(shapes)
    before = copy.deepcopy(items)
    found = shorten(items, room, messages=messages)
    assert items == before, "stored items stay whole"
    assert estimate(found) <= estimate(items) + 30 * len(items)
    calls = [item["call_id"] for item in found if "call_id" in item and not item["type"].endswith("_output")]
    assert calls == [item["call_id"] for item in found if item["type"].endswith("_output")]
    if estimate(items) <= room:
        assert found == items
    if not messages:
        assert [item["type"] for item in found] == [item["type"] for item in items]
        assert [each for each in found if each["type"] == "message"] == [
            each for each in items if each["type"] == "message"
        ]
    asked = [item for item in items if item.get("role") == "user"]
    assert not asked or asked[-1] in found, "the last question stays whole"


@settings(max_examples=60, deadline=None)
@given(ITEMS, st.integers(400, 40_000))
def test_items_before_a_short_question_always_fit(shapes: list[tuple[str, int]], room: int) -> None:
    assert estimate(shorten([*made(shapes), message("user", "So?")], room, messages=True)) <= room


def test_oldest_output_is_shortened_first() -> None:
    items = [*step(1, "a" * 30_000), *step(2, "b" * 30_000), message("user", "And?"), *step(3, "c" * 30_000)]
    lengths = [len(item["output"]) for item in shorten(items, 14_000) if "output" in item]
    assert lengths[0] == lengths[1] < 9_000
    assert lengths[2] == 30_000


def test_output_of_the_last_step_gets_most_of_the_room() -> None:
    items = [message("user", "Go."), *step(1, "a" * 30_000), *step(2, "b" * 1_000_000)]
    old, new = [len(item["output"]) for item in shorten(items, 10_000) if "output" in item]
    assert old < 600
    assert 10_000 < new <= 40_000


def test_a_summary_outlives_the_messages_before_it() -> None:
    questions = [message("user", f"{number} " + "q" * 190) for number in range(100)]
    items = [*questions, message("developer", SUMMARY + "s" * 1500), message("user", "Now?")]
    found = shorten(items, 1000, messages=True)
    assert found[-2:] == items[-2:]
    assert found[:-2] == questions[100 - len(found) + 2 :], "the newest of them stay"
    assert len(found) > 2


def test_a_call_that_is_answered_later_stays() -> None:
    call, output = step(1, "x")
    items = [message("user", "q" * 9000), call, *step(2, "y" * 9000), message("user", "So?"), output]
    found = shorten(items, 20, messages=True)
    assert [item.get("call_id") for item in found] == ["c1", None, "c1"]


@pytest.mark.parametrize(
    ("part", "kept"),
    [
        ({"type": "input_text", "text": "x" * 90_000}, False),
        ({"type": "input_image", "image_url": "data:" + "x" * 90_000}, False),
        ({"type": "input_file", "file_data": "x" * 90_000, "filename": "a.pdf"}, False),
        ({"type": "input_text", "text": "short"}, True),
        ("odd", True),
    ],
)
def test_parts_of_output(part: Any, kept: bool) -> None:
    call, output = step(1, "")
    items = [
        call,
        {**output, "output": [part, {"type": "input_text", "text": "y" * 90_000}]},
        message("user", "?"),
    ]
    found = shorten(items, 500)[1]["output"][0]
    assert (found == part) == kept
    assert len(str(found)) < 1000


@pytest.mark.parametrize("text", ["", "x", "x" * 200])
def test_a_short_text_is_not_cut(text: str) -> None:
    assert cut(text, 200) == text


def test_cut_keeps_head_tail_and_log() -> None:
    whole = (
        "head"
        + "x" * 500
        + "\n[... 90000 characters left out; the log is /run/7.log ...]\n"
        + "y" * 500
        + "tail"
    )
    found = cut(whole, 100)
    assert found.startswith("head")
    assert found.endswith("tail")
    assert f"[... {len(whole) - 100} characters left out; the log is /run/7.log ...]" in found
    assert cut(found, 50).count("/run/7.log") == 1
    assert "the log is /other.log" in cut("z" * 500, 100, "/other.log")
    assert "the log" not in cut("z" * 500, 100)


# -- the gauge ----------------------------------------------------------------------------------------------


def overflow(tokens: int | None = None, window: int | None = None) -> ContextLengthExceeded:
    return ContextLengthExceeded("Too long.", tokens=tokens, window=window)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.none() | st.integers(1, 1 << 20), st.none() | st.integers(64, 1 << 20)),
        min_size=1,
        max_size=4,
    ),
    st.integers(100, 1 << 20),
    st.none() | st.integers(16, 1 << 20),
)
def test_each_overflow_makes_room_smaller(
    errors: list[tuple[int | None, int | None]], size: int, answer: int | None
) -> None:
    gauge = Gauge()
    for tokens, window in errors:
        gauge.overflowed(overflow(tokens, window), size, answer)
        room = gauge.room(answer)
        assert room is not None
        known = gauge.window
        answer_is_too_long = tokens and known and answer and tokens + 16 <= known < tokens + answer
        assert answer_is_too_long or room < size
        size = min(size, room) or 1


def test_a_learned_size_is_forgotten() -> None:
    now = 0.0
    gauge = Gauge(lambda: now)
    gauge.overflowed(overflow(5000, 4096), 4000, None)
    assert gauge.window == 4096
    room = gauge.room(None)
    assert room is not None
    assert room <= (4096 - 1024) / 1.25
    now = LEARNED_FOR + 1
    assert gauge.room(None) is None
    gauge.configured = 8192
    assert gauge.window == 8192


def test_ratio_follows_what_upstreams_report() -> None:
    gauge = Gauge()
    gauge.configured = 10_000
    before = gauge.room(None)
    gauge.measured(1000, 3000)
    after = gauge.room(None)
    assert before is not None
    assert after is not None
    assert after * 3 == pytest.approx(before, rel=0.01)
    gauge.measured(90_000, 9_990)  # the server has cut the input
    assert gauge.room(None) == after


def test_gauges_are_bounded() -> None:
    gauges = Gauges()
    first = gauges.of("m")
    assert gauges.of("m") is first
    for number in range(300):
        gauges.of(f"m{number}")
    assert gauges.of("m") is not first


class Watched(dict[str, Any]):
    """An item that counts how often its fields are read."""

    reads = 0

    def items(self) -> Any:
        self.reads += 1
        return super().items()


def test_growing_conversation_is_measured_once_per_item() -> None:
    sizes, items = ItemSizes(), [Watched(type="message", content="four" * step) for step in range(20)]
    for step in range(1, 21):
        assert sizes.estimate(items[:step]) == estimate(map(dict, items[:step]))
    assert {item.reads for item in items} == {1}
    items[3] = Watched(type="message", content="")
    assert sizes.estimate(items) == estimate(map(dict, items))
