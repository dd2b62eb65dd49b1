"""Turns that dead processes left, whatever their rows hold."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_kernel.each import each
from agent_kernel.errors import InvalidRequest
from agent_kernel.protocol.broken import ResumePoint
from agent_kernel.runtime.background.recovery import Recovery
from agent_kernel.runtime.turns.request import read_request
from agent_kernel.runtime.turns.turn import INTERRUPTED
from agent_kernel.store.folder.coordination import FolderCoordination
from agent_kernel.store.records import ResponseRow, Unfinished
from agent_kernel.store.rows import Rows
from agent_kernel.store.sqlite.store import sqlite_rows

SAID: Any = {"id": "msg_1", "type": "message", "role": "assistant", "content": [], "status": "completed"}
DONE: Any = {"type": "response.output_item.done", "output_index": 0, "sequence_number": 3, "item": SAID}


def left(name: str, **changes: Any) -> ResponseRow:
    return ResponseRow(
        name, 1.0, "in_progress", "m", None, None, {"background": True}, [], {"id": name, "output": []},
        owner="dead", **changes,
    )  # fmt: skip


async def put(store: Rows, row: ResponseRow, journal: list[str]) -> None:
    await store.put_response(row)
    await store.append_events(row.id, list(enumerate(journal)))


async def read_again(row: ResponseRow, _: ResumePoint) -> None:
    read_request(row.request)
    raise InvalidRequest("not in this test")


def spoil(path: Path, columns: dict[str, str]) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        names = ", ".join(f"{name} = ?" for name in columns)
        db.execute(f"UPDATE responses SET {names} WHERE id = 'bad'", tuple(columns.values()))


async def recovered(folder: Path, columns: dict[str, str], journal: list[str]) -> dict[str, ResponseRow]:
    """Recover a store with a spoiled row before and a whole one after it, twice; return both."""
    path = folder / "store.sqlite"
    store = sqlite_rows(path)
    await put(store, left("bad", conversation_id="conv_1"), journal)
    await put(store, left("good"), [json.dumps(DONE)])
    spoil(path, columns)
    for _ in range(2):  # the second start finds nothing left to do
        coordination = FolderCoordination(folder)
        await Recovery(store, coordination, "resume", read_again).once()
        assert await store.unfinished_responses() == []
        await coordination.aclose()
    rows = {name: await store.response(name) for name in ("bad", "good")}
    await store.aclose()
    return {name: row for name, row in rows.items() if row is not None}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(["background", "input", "tools", "output", "type", "item", "id", "output_index"])
TEXT = st.one_of(
    st.text(max_size=12),
    JSON.map(json.dumps),
    st.dictionaries(NAMES, JSON, max_size=4).map(json.dumps),
    st.lists(st.dictionaries(NAMES, JSON, max_size=4), max_size=2).map(json.dumps),
)


@settings(max_examples=20, deadline=None)
@given(
    columns=st.dictionaries(st.sampled_from(["request", "input", "response"]), TEXT, min_size=1),
    journal=st.lists(TEXT, max_size=3),
)
def test_recovery_survives_any_row(columns: dict[str, str], journal: list[str]) -> None:
    columns = {name: text.replace("\ud800", "") for name, text in columns.items()}
    with TemporaryDirectory() as folder:
        rows = asyncio.run(recovered(Path(folder), columns, journal))
    assert {row.status for row in rows.values()} == {"incomplete"}
    assert rows["good"].response["output"] == [SAID]
    assert isinstance(rows["bad"].request, dict)
    assert isinstance(rows["bad"].input, list)
    assert rows["bad"].response["incomplete_details"] == {"reason": INTERRUPTED}


async def test_a_resumed_count_of_an_old_store_is_no_poison(tmp_path: Path) -> None:
    poison = {"request": '{"background": true, "agent_kernel.resumed": "x"}'}
    rows = await recovered(tmp_path, poison, [json.dumps(DONE)])
    assert rows["bad"].response["output"] == [SAID], "a readable journal is kept"


async def test_a_turn_is_resumed_three_times_at_most(tmp_path: Path) -> None:
    store = sqlite_rows(tmp_path / "store.sqlite")
    tried: list[str] = []

    async def resume(row: ResponseRow, _: ResumePoint) -> None:
        tried.append(row.id)
        raise InvalidRequest("not in this test")

    created = json.dumps({"type": "response.created", "sequence_number": 0})
    await put(store, left("twice", resumed=2), [created])
    await put(store, left("thrice", resumed=3), [created])
    coordination = FolderCoordination(tmp_path)
    await Recovery(store, coordination, "resume", resume).once()
    assert tried == ["twice"]
    await coordination.aclose()
    await store.aclose()


@pytest.mark.parametrize(
    ("request_", "param"),
    [
        ({"agent_kernel.resumed": "x"}, "agent_kernel.resumed"),
        ({"agent_kernel.resumed": 99}, "agent_kernel.resumed"),
        ({"agent_kernel.budget": {}}, "agent_kernel.budget"),
        ({"agent_kernel": {"resumed": 1}}, "agent_kernel.resumed"),
    ],
)
def test_unknown_extension_refused(request_: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest, match="Unknown request field") as refused:
        read_request({"input": "hi", **request_})
    assert refused.value.param == param


async def test_a_broken_row_never_stops_the_others(caplog: pytest.LogCaptureFixture) -> None:
    rows = [Unfinished(name, 1.0, "m", "dead") for name in "abc"]
    handled: list[str] = []
    broken: list[str] = []

    def step(fails: type[Exception]) -> Callable[[Unfinished], Any]:
        async def one(row: Unfinished) -> None:
            if row.id == "b":
                raise fails("no")
            handled.append(row.id)

        return one

    async def note(row: Unfinished) -> None:
        broken.append(row.id)
        raise KeyError(row.id)

    await each(rows, step(TypeError), note)
    assert (handled, broken) == (["a", "c"], ["b"])
    assert "row b" in caplog.text
    with pytest.raises(InvalidRequest):
        await each(rows, step(InvalidRequest))
    assert handled == ["a", "c", "a"]
