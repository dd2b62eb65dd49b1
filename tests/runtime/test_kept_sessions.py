"""Sessions that outlive their front end, kept by this process or by a server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from agent_kernel.errors import InvalidRequest, LimitReached, NotFound
from agent_kernel.runtime.base import Runtime
from agent_kernel.runtime.kept import CHANGED, LARGEST_STATE, KeepsSessions, KeptSession
from agent_kernel.runtime.local import LocalRuntime
from tests.runtime.test_contract import container_of, turn

pytestmark = pytest.mark.bubblewrap


@pytest.fixture
def keeping(runtime: Runtime) -> KeepsSessions:
    assert isinstance(runtime, KeepsSessions)
    return runtime


async def test_session_is_kept_listed_found_and_forgotten(runtime: Runtime, keeping: KeepsSessions) -> None:
    first = await turn(runtime, "look")
    given = KeptSession(
        name="é", response_id=first.id, container_id=container_of(first),
        state={"a": [1, None, "é\0"], "é": {"b": True}},
        notebook="/n.ipynb", responses=[first.id],
    )  # fmt: skip
    kept = await keeping.keep_session(given)
    assert kept.id.startswith("sess_")
    assert kept == replace(
        given, id=kept.id, created_at=kept.created_at, updated_at=kept.updated_at, responses=(first.id,),
        revision=1,
    )  # fmt: skip
    assert await keeping.kept_session(kept.id) == kept
    assert await keeping.kept_sessions() == [replace(kept, state={})]
    again = await keeping.keep_session(replace(kept, state={"b": 2}, responses=()))
    assert (again.revision, again.state, again.responses) == (2, {"b": 2}, ())
    await keeping.forget_session(kept.id)
    assert await keeping.kept_sessions() == []
    with pytest.raises(NotFound, match="no kept session"):
        await keeping.kept_session(kept.id)
    with pytest.raises(NotFound, match="no kept session"):
        await keeping.forget_session(kept.id)
    with pytest.raises(NotFound, match="no kept session"):
        await keeping.keep_session(again)
    assert (await runtime.retrieve(first.id)).id == first.id


async def test_one_of_two_keeps_a_session(keeping: KeepsSessions) -> None:
    kept = await keeping.keep_session(KeptSession(name="a"))
    tries = [keeping.keep_session(replace(kept, name=name)) for name in "bc"]
    results = await asyncio.gather(*tries, return_exceptions=True)
    (lost,) = [each for each in results if isinstance(each, InvalidRequest)]
    assert lost.request_code == CHANGED
    assert (await keeping.kept_session(kept.id)).revision == 2


async def test_turn_that_was_cut_off_is_found(runtime: Runtime, keeping: KeepsSessions) -> None:
    first = await turn(runtime, "look")
    given = KeptSession(response_id=first.id, container_id=container_of(first))
    kept = await keeping.keep_session(given)
    assert (await keeping.kept_session(kept.id)).interrupted is None
    second = await turn(runtime, "remember", previous_response_id=first.id)
    assert (await keeping.kept_session(kept.id)).interrupted == second.id
    assert [each.interrupted for each in await keeping.kept_sessions()] == [None]


DEEP: dict[str, Any] = {}
for _ in range(200):
    DEEP = {"a": DEEP}

BAD: dict[str, dict[str, Any]] = {
    "name": {"name": "x" * 257},
    "name with a control character": {"name": "a\nb"},
    "notebook": {"notebook": "x" * 5000},
    "state": {"state": {"a": "é" * (LARGEST_STATE // 2)}},
    "deep state": {"state": DEEP},
    "responses": {"responses": ["resp_x"] * 201},
}


@pytest.mark.parametrize("case", BAD)
async def test_bad_session_is_refused_and_nothing_is_kept(keeping: KeepsSessions, case: str) -> None:
    with pytest.raises(InvalidRequest):
        await keeping.keep_session(KeptSession(**BAD[case]))
    assert await keeping.kept_sessions() == []


@pytest.mark.parametrize("what", ["response_id", "container_id", "responses"])
async def test_unknown_reference_is_refused_if_it_is_new(
    runtime: Runtime, keeping: KeepsSessions, what: str
) -> None:
    unknown: dict[str, Any] = {what: ["resp_x"] if what == "responses" else "x_none"}
    with pytest.raises(NotFound):
        await keeping.keep_session(KeptSession(**unknown))
    first = await turn(runtime, "look")
    known = KeptSession(response_id=first.id, container_id=container_of(first), responses=[first.id])
    kept = await keeping.keep_session(known)
    await runtime.delete(first.id)
    await runtime.containers.delete(container_of(first))
    assert (await keeping.keep_session(kept)).response_id == first.id


async def test_number_of_sessions_is_limited(
    keeping: KeepsSessions, local_runtime: LocalRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_runtime, "_most", 2)
    monkeypatch.setitem(vars(local_runtime._tenants.parts), "most_sessions", 2)  # a server makes a view
    for _ in range(2):
        await keeping.keep_session(KeptSession())
    with pytest.raises(LimitReached, match="can keep 2 sessions"):
        await keeping.keep_session(KeptSession())


async def test_sessions_survive_their_containers_death(
    runtime: Runtime, keeping: KeepsSessions, kill: Callable[[str], Awaitable[None]]
) -> None:
    first = await turn(runtime, "look")
    kept = await keeping.keep_session(KeptSession(response_id=first.id, container_id=container_of(first)))
    await kill(container_of(first))
    assert await keeping.kept_session(kept.id) == kept


async def test_half_of_a_surrogate_pair_in_a_state_is_replaced(local_runtime: LocalRuntime) -> None:
    kept = await local_runtime.keep_session(KeptSession(name="a", state={"a\ud800": ["b\udfff"]}))
    assert kept.state == {"a\ufffd": ["b\ufffd"]}
    with pytest.raises(InvalidRequest, match="state must be a JSON object"):
        await local_runtime.keep_session(KeptSession(state={"a": float("nan")}))
