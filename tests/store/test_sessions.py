"""The contract of rows, for every kind of store: kept sessions."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from agent_kernel.store.rows import Rows
from tests.store.conftest import Open
from tests.store.rows_made import session, turn


async def test_session_comes_back_as_kept(rows: Rows) -> None:
    one = session("a", response_id="r", container_id="c", responses=("x", "y"), tenant="t")
    assert await rows.add_session(one, 9)
    assert await rows.session("a") == one
    assert await rows.session("none") is None
    later = replace(one, name="n", updated_at=9.0, response_id=None, responses=("y", "z"), revision=2)
    assert await rows.replace_session(replace(later, tenant="other", created_at=7.0), 1)
    assert await rows.session("a") == later
    assert await rows.add_session(session("b", updated_at=3.0), 9)
    assert await rows.sessions() == [replace(later, state=""), session("b", updated_at=3.0, state="")]
    assert await rows.session_containers() == {"c"}
    assert await rows.delete_session("a")
    assert not await rows.delete_session("a")
    assert await rows.session("a") is None


async def test_number_of_sessions_holds_across_processes(opened: Open) -> None:
    others = [opened().rows for _ in range(8)]
    added = await asyncio.gather(
        *(r.add_session(session(str(n), tenant="t"), 3) for n, r in enumerate(others))
    )
    assert sum(added) == 3
    assert await others[0].add_session(session("x", tenant="u"), 3)


async def test_one_of_many_replaces_a_session(opened: Open) -> None:
    await opened().rows.add_session(session("a"), 1)
    others = [opened().rows for _ in range(6)]
    new = session("a", revision=2)
    wins = await asyncio.gather(*(r.replace_session(replace(new, name=f"n{r}"), 1) for r in others))
    assert sum(wins) == 1
    assert not await others[0].replace_session(session("none"), 1)


async def test_expiry_spares_what_sessions_refer_to(rows: Rows) -> None:
    for name, previous in (
        ("root", None), ("here", "root"), ("branch", "root"), ("dead end", "root"), ("other", None),
    ):  # fmt: skip
        await rows.put_response(turn(name, previous, created_at=1.0))
    await rows.add_session(session("a", response_id="here", responses=("branch",)), 9)
    await rows.add_session(session("b"), 9)
    assert await rows.expire_responses(10.0) == (2, None)
    left = [n for n in ("root", "here", "branch", "dead end", "other") if await rows.response(n)]
    assert left == ["root", "here", "branch"]
    await rows.delete_session("a")
    assert await rows.expire_responses(10.0) == (3, None)


async def test_interrupted_turn_continues_a_session(rows: Rows) -> None:
    alice = rows.of("alice")
    where = {"container_id": "c", "created_at": 20.0}
    await alice.put_response(turn("kept", container_id="c", created_at=5.0))
    await alice.put_response(turn("undone", "kept", container_id="c", created_at=6.0))
    kept = session("a", response_id="kept", container_id="c", updated_at=10.0, tenant="alice")
    await alice.add_session(kept, 9)
    await alice.put_response(turn("elsewhere", "kept", created_at=20.0, container_id="d"))
    await rows.of("bob").put_response(turn("bobs", "kept", **where))
    assert await alice.interrupted_turn("a") is None
    await alice.put_response(turn("cut off", "kept", **where))
    assert await alice.interrupted_turn("a") == "cut off"
    await alice.put_response(turn("steered", "cut off", container_id="c", created_at=21.0))
    assert await alice.interrupted_turn("a") == "steered"
    assert await rows.interrupted_turn("a") == "steered"
    assert await rows.interrupted_turn("none") is None


async def test_first_turn_of_a_session_is_found(rows: Rows) -> None:
    await rows.add_session(session("a", container_id="c"), 9)
    await rows.put_response(turn("first", container_id="c", created_at=20.0))
    assert await rows.interrupted_turn("a") == "first"
