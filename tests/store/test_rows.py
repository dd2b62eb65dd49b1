"""The contract of rows, for every kind of store: responses, conversations and approvals."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from agent_kernel.store.records import (
    Finish,
    Unfinished,
)
from agent_kernel.store.rows import Rows
from tests.store.conftest import Open
from tests.store.rows_made import message, turn


async def test_response_comes_back_as_put(rows: Rows) -> None:
    whole = turn("a", container_id="c", owner="o", conversation_id="v", resumed=2)
    await rows.put_response(whole)
    assert await rows.response("a") == whole
    assert await rows.response("b") is None
    for strange in ("", "\0", "a\0", "%", "'", "é" * 4000):
        assert await rows.response(strange) is None


async def test_put_replaces(rows: Rows) -> None:
    await rows.put_response(turn("a", owner="o"))
    await rows.put_response(turn("a", status="failed", response={"output": [message("m")]}, resumed=1))
    row = await rows.response("a")
    assert row is not None
    assert (row.status, row.owner, row.resumed, row.response) == (
        "failed", None, 1, {"output": [message("m")]},
    )  # fmt: skip


async def test_chain_of_any_response(rows: Rows) -> None:
    for name, previous in (("root", None), ("left", "root"), ("right", "root"), ("leaf", "right")):
        await rows.put_response(turn(name, previous))
    assert [row.id for row in await rows.chain("leaf")] == ["root", "right", "leaf"]
    assert [row.id for row in await rows.chain("left")] == ["root", "left"]
    assert await rows.chain("none") == []
    assert await rows.delete_response("root")
    assert [row.id for row in await rows.chain("leaf")] == ["right", "leaf"]


async def test_deletions_are_counted(rows: Rows) -> None:
    await rows.put_response(turn("a"))
    before = await rows.deletions()
    assert not await rows.delete_response("b")
    assert await rows.deletions() == before
    assert await rows.delete_response("a")
    assert not await rows.delete_response("a")
    assert await rows.deletions() > before


async def test_expiry_spares_what_is_continued(rows: Rows) -> None:
    for name, previous, made in (
        ("old", None, 1.0), ("kept", None, 2.0), ("young", "kept", 30.0), ("dead end", "old", 3.0),
        ("younger", None, 40.0),
    ):  # fmt: skip
        await rows.put_response(turn(name, previous, created_at=made))
    await rows.put_response(turn("running", created_at=1.0, owner="o"))
    before = await rows.deletions()
    assert await rows.expire_responses(10.0) == (2, 30.0)
    assert await rows.deletions() > before
    left = [n for n in ("old", "kept", "young", "dead end", "younger", "running") if await rows.response(n)]
    assert left == ["kept", "young", "younger", "running"]
    assert await rows.expire_responses(10.0) == (0, 30.0)
    assert await rows.expire_responses(1000.0) == (3, None)


async def test_unfinished_and_adopted(rows: Rows) -> None:
    await rows.put_response(turn("a", owner="dead"))
    await rows.put_response(turn("b"))
    assert await rows.unfinished_responses() == [Unfinished("a", 1.5, "m", "dead")]
    assert not await rows.adopt_response("a", "other", "new")
    assert await rows.adopt_response("a", "dead", "new")
    assert not await rows.adopt_response("a", "dead", "new")
    assert [row.owner for row in await rows.unfinished_responses()] == ["new"]


async def test_one_process_adopts(opened: Open) -> None:
    await opened().rows.put_response(turn("a", owner="dead"))
    others = [opened().rows for _ in range(6)]
    wins = await asyncio.gather(*(r.adopt_response("a", "dead", str(n)) for n, r in enumerate(others)))
    assert sum(wins) == 1


async def test_write_off(rows: Rows) -> None:
    await rows.put_response(turn("a", owner="us"))
    await rows.append_events("a", [(0, "{}"), (1, "{}")])
    assert not await rows.write_off_response("a", "others", {"output": []}, (2, "last"))
    assert await rows.write_off_response("a", "us", {"output": []}, (2, "last"))
    row = await rows.response("a")
    assert row is not None
    assert (row.status, row.owner, row.response) == ("incomplete", None, {"output": []})
    assert (row.request, row.input) == (turn("a").request, turn("a").input)
    assert await rows.events("a", -1, 10) == [(2, "last")]
    assert not await rows.write_off_response("a", "us", {"output": []}, (3, "last"))


async def test_journal(rows: Rows) -> None:
    await rows.put_response(turn("a"))
    await rows.append_events("a", [(number, f'{{"n": "\\u0000{number}"}}') for number in range(5)])
    await rows.append_events("a", [(4, "new"), (5, "é")])
    assert await rows.events("a", 2, 2) == [(3, '{"n": "\\u00003"}'), (4, "new")]
    assert await rows.events("a", 4, 10) == [(5, "é")]
    await rows.append_events("none", [(0, "{}")])
    assert await rows.events("none", -1, 10) == []
    await rows.delete_response("a")
    assert await rows.events("a", -1, 10) == []


@pytest.mark.parametrize("keep_events", [True, False])
async def test_finish(rows: Rows, keep_events: bool) -> None:
    running = turn("a", status="in_progress", owner="o", input=[message("in")])
    await rows.put_response(running)
    await rows.append_events("a", [(0, "first")])
    ended = replace(running, status="completed", owner=None, response={"output": [message("out", "x")]})
    await rows.finish_response(Finish(ended, [(1, "last")], keep_events))
    assert await rows.response("a") == ended
    assert await rows.events("a", -1, 10) == ([(0, "first"), (1, "last")] if keep_events else [])
    assert await rows.item("out") == message("out", "x")
    assert await rows.item("in") == message("in")
    assert await rows.item("none") is None
    await rows.delete_response("a")
    assert await rows.item("out") is None


async def test_finish_of_a_deleted_turn_makes_no_row(rows: Rows) -> None:
    await rows.finish_response(Finish(turn("a", response={"output": [message("m")]}), [(0, "{}")], True))
    assert await rows.response("a") is None
    assert await rows.item("m") is None


async def test_finish_without_row_fills_the_conversation(rows: Rows) -> None:
    await rows.put_conversation("v", 1.0, {})
    ended = turn("a", status="incomplete", conversation_id="v", container_id="c")
    await rows.finish_response(Finish(ended, keep_row=False, said=[message("m")]))
    assert await rows.response("a") is None
    assert await rows.conversation_items("v") == [(message("m"), True)]
    assert await rows.conversation("v") == (1.0, {}, "c")
    await rows.finish_response(Finish(replace(ended, container_id=None), keep_row=False))
    assert await rows.conversation("v") == (1.0, {}, "c")


# -- conversations


async def test_conversation(rows: Rows) -> None:
    assert await rows.conversation("v") is None
    await rows.put_conversation("v", 1.5, {"a": "é"})
    await rows.put_conversation("v", 9.0, {"b": "2"})
    assert await rows.conversation("v") == (1.5, {"b": "2"}, None)
    await rows.add_conversation_items("v", [message("1"), message("2")])
    await rows.add_conversation_items("v", [message("3"), message("1", "again"), message("3", "last")])
    items = [message("2"), message("1", "again"), message("3", "last")]
    assert await rows.conversation_items("v") == [(item, False) for item in items]
    assert await rows.item("2") == message("2")
    assert await rows.delete_conversation_item("v", "2")
    assert not await rows.delete_conversation_item("v", "2")
    await rows.add_conversation_items("none", [message("1")])
    assert await rows.conversation_items("none") == []
    assert await rows.delete_conversation("v")
    assert not await rows.delete_conversation("v")
    assert await rows.conversation_items("v") == []


# -- approvals


async def test_approvals_are_answered_once(rows: Rows) -> None:
    assert await rows.claim_approvals(["1", "2"], "a") is None
    assert await rows.claim_approvals(["3", "2"], "b") == "2"
    assert await rows.answered_approvals(["1", "2", "3"]) == {"1", "2"}
    assert await rows.of("alice").claim_approvals(["1"], "c") is None


async def test_one_process_answers(opened: Open) -> None:
    others = [opened().rows for _ in range(6)]
    answers = await asyncio.gather(*(r.claim_approvals(["1", "2"], str(n)) for n, r in enumerate(others)))
    assert sorted(answers, key=str) == [*["1"] * 5, None]


# -- containers
