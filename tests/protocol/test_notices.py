"""Notices: lines about the model that the response carries to its user."""

from __future__ import annotations

from agent_kernel.protocol.assembler import Assembler
from agent_kernel.protocol.deltas import Notice, TextDelta
from agent_kernel.protocol.fold import fold
from agent_kernel.protocol.items import to_json
from agent_kernel.protocol.response import MOST_NOTICES, new_response


def begun() -> Assembler:
    assembler = Assembler(new_response({}, id="r", model="m", tools=[], created_at=0))
    assembler.begin()
    return assembler


def test_notice_is_in_the_last_event_only() -> None:
    assembler = begun()
    events = [*assembler.feed(TextDelta("a")), *assembler.feed(Notice("Slow."))]
    events += [*assembler.feed(TextDelta("b")), *assembler.feed(Notice("Slow.")), *assembler.end_step()]
    assert not any("Slow." in str(to_json(event)) for event in events)
    response = to_json(fold(assembler.complete()))
    assert response["agent_kernel"] == {"notices": ["Slow."]}
    assert response["output"][0]["content"][0]["text"] == "ab"


def test_response_without_notice_has_no_such_field() -> None:
    assembler = begun()
    assembler.end_step()
    assert "agent_kernel" not in to_json(fold(assembler.complete()))


def test_notices_keep_other_extensions_and_are_bounded() -> None:
    assembler = begun()
    assembler.response = assembler.response.model_copy(update={"agent_kernel": {"approval": "ask"}})
    for number in range(MOST_NOTICES + 5):
        assembler.notice(f"Line {number}.")
    ours = to_json(assembler.fail(code="server_error", message="x")[-1])["response"]["agent_kernel"]
    assert ours["approval"] == "ask"
    assert len(ours["notices"]) == MOST_NOTICES
