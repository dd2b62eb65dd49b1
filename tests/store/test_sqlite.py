from __future__ import annotations

import asyncio
import sqlite3
import stat
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent_kernel.errors import ConfigurationError
from agent_kernel.store.records import ContainerRow, FileRow, Finish, ResponseRow
from agent_kernel.store.rows import Rows
from agent_kernel.store.sqlite.migrations import MIGRATIONS
from agent_kernel.store.sqlite.store import sqlite_rows


def turn(name: str, previous_id: str | None = None) -> ResponseRow:
    return ResponseRow(
        id=name, created_at=1.5, status="completed", model="m", previous_id=previous_id, container_id=None,
        request={"model": "m"}, input=[{"type": "message", "content": "é\0"}],
        response={"id": name, "output": []},
    )  # fmt: skip


def container(name: str, **changes: object) -> ContainerRow:
    row = ContainerRow(
        id=name, name="n", backend="bubblewrap", created_at=100.0, last_active_at=100.0, expires_after=1,
        status="running", memory_limit=None,
    )  # fmt: skip
    return replace(row, **changes)  # type: ignore[arg-type]  # a test's shorthand


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Rows]:
    store = sqlite_rows(tmp_path / "deep" / "store.sqlite")
    yield store
    await store.aclose()


async def test_a_response_comes_back_as_it_was_put(store: Rows) -> None:
    await store.put_response(turn("a"))
    assert await store.response("a") == turn("a")
    assert await store.response("b") is None


async def test_any_response_can_be_continued(store: Rows) -> None:
    for name, previous in (("root", None), ("left", "root"), ("right", "root"), ("leaf", "right")):
        await store.put_response(turn(name, previous))
    assert [row.id for row in await store.chain("leaf")] == ["root", "right", "leaf"]
    assert [row.id for row in await store.chain("left")] == ["root", "left"]
    assert await store.chain("none") == []


async def test_what_is_deleted_cannot_be_read_in_the_file(store: Rows, tmp_path: Path) -> None:
    """Not in the table's pages, not in the log of writes beside them, while the store stays open."""
    secret, other = "the-secret-of-the-turn", "what-stays"
    folder = tmp_path / "deep"

    def written() -> bytes:
        return b"".join(path.read_bytes() for path in folder.glob("store.sqlite*"))

    for name, words in (("kept", other), ("gone", secret * 1000)):
        said = {"id": f"msg_{name}", "type": "message", "content": words}
        row = replace(turn(name), conversation_id="conv", input=[said])
        await store.put_conversation("conv", 1.0, {"topic": words})
        await store.put_response(row)
        await store.append_events(name, [(0, words), (1, words * 2)])
        await store.finish_response(Finish(row, [(2, words)], True, True, [said]))
        await store.put_file(FileRow(f"file_{name}", 1.0, words, "user_data", 3))
    assert secret.encode() in written()
    assert await store.delete_response("gone")
    assert await store.delete_conversation_item("conv", "msg_gone")
    assert await store.delete_file("file_gone")
    await store.put_conversation("conv", 1.0, {"topic": "another"})
    assert await store.delete_conversation("conv")
    assert secret.encode() not in written()
    assert other.encode() in written()


async def test_old_responses_go_when_no_later_turn_continues_them(store: Rows) -> None:
    for name, previous, made in (
        ("old root", None, 1.0),
        ("old leaf", "old root", 2.0),
        ("root", None, 3.0),
        ("side", "root", 4.0),
        ("leaf", "root", 50.0),
    ):
        await store.put_response(replace(turn(name, previous), created_at=made))
    await store.put_response(replace(turn("runs"), created_at=5.0, owner="somebody"))
    deletions = await store.deletions()
    assert await store.expire_responses(20.0) == (3, 50.0)
    names = ["old root", "old leaf", "root", "side", "leaf", "runs"]
    assert [name for name in names if await store.response(name)] == ["root", "leaf", "runs"]
    assert await store.deletions() > deletions
    assert await store.expire_responses(60.0) == (2, None)
    assert await store.expire_responses(60.0) == (0, None)


async def test_a_chain_starts_late_where_one_was_deleted(store: Rows) -> None:
    for name, previous in (("a", None), ("b", "a"), ("c", "b")):
        await store.put_response(turn(name, previous))
    assert await store.delete_response("a")
    assert not await store.delete_response("a")
    assert [row.id for row in await store.chain("c")] == ["b", "c"]


async def test_a_container_ends_once_and_only_when_idle(store: Rows) -> None:
    await store.put_container(container("c"))
    assert not await store.end_container("c", "expired", if_idle_at=159.9)
    await store.touch_container("c", 101.0)
    assert not await store.end_container("c", "expired", if_idle_at=160.5)
    assert await store.end_container("c", "expired", if_idle_at=161.0)
    assert not await store.end_container("c", "dead")
    row = await store.container("c")
    assert row is not None
    assert row.status == "expired"


async def test_uploads_go_with_their_container(store: Rows) -> None:
    await store.put_container(container("c"))
    await store.add_upload("c", "/mnt/data/a")
    await store.add_upload("c", "/mnt/data/a")
    await store.put_container(container("c", status="running", memory_limit="1g"))
    assert await store.uploads("c") == {"/mnt/data/a"}
    await store.remove_upload("c", "/mnt/data/a")
    await store.add_upload("c", "/mnt/data/b")
    await store.delete_container("c")
    await store.put_container(container("c"))
    assert await store.uploads("c") == set()


async def test_an_upload_to_a_container_just_deleted_is_nothing(store: Rows) -> None:
    await store.add_upload("gone", "/mnt/data/a")
    assert await store.uploads("gone") == set()


async def test_two_processes_share_one_file(store: Rows, tmp_path: Path) -> None:
    other = sqlite_rows(tmp_path / "deep" / "store.sqlite")
    try:
        assert await store.identity() == await other.identity()
        await store.put_response(turn("a"))
        assert await other.response("a") == turn("a")
    finally:
        await other.aclose()


async def test_many_that_start_at_once_share_a_new_file(tmp_path: Path) -> None:
    for number in range(40):  # which of them came in another's way was a matter of chance
        stores = [sqlite_rows(tmp_path / str(number) / "store.sqlite") for _ in range(8)]
        try:
            assert len(set(await asyncio.gather(*(store.identity() for store in stores)))) == 1
        finally:
            for store in stores:
                await store.aclose()


async def test_the_file_is_private_and_in_wal_mode(store: Rows, tmp_path: Path) -> None:
    await store.identity()
    path = tmp_path / "deep" / "store.sqlite"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


async def test_a_file_of_a_newer_version_is_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    store = sqlite_rows(path)
    with pytest.raises(ConfigurationError, match="newer agent-kernel"):
        await store.identity()
    await store.aclose()


async def test_a_file_that_is_no_database_is_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    path.write_text("not a database, but long enough to be looked at as if it were one" * 20)
    store = sqlite_rows(path)
    with pytest.raises(ConfigurationError, match="AGENT_KERNEL_DATA_DIR"):
        await store.identity()
    await store.aclose()


async def test_a_file_of_the_first_version_is_brought_up_to_date(tmp_path: Path) -> None:
    """Whatever it holds stays, and belongs to whoever has no key of a name."""
    path = tmp_path / "store.sqlite"
    with sqlite3.connect(path) as db:
        for script in MIGRATIONS[:2]:
            db.executescript(script)
        db.execute("PRAGMA user_version = 2")
        db.execute(
            "INSERT INTO responses VALUES ('resp_1',1,'completed','m',NULL,NULL,'{}','[]',"
            """'{"output": [{"id": "msg_1"}]}',NULL,NULL)"""
        )
        db.execute("INSERT INTO items VALUES ('msg_1', 'resp_1')")
        db.execute("INSERT INTO containers VALUES ('cntr_1','n','docker',1,1,20,'running',NULL)")
    db.close()
    store = sqlite_rows(path)
    try:
        assert await store.of("").item("msg_1") == {"id": "msg_1"}
        row = await store.of("").container("cntr_1")
        assert row is not None
        assert row.tenant == ""
        assert await store.of("other").item("msg_1") is None
        assert await store.of("other").containers() == []
        assert await store.delete_response("resp_1")
        assert await store.item("msg_1") is None
    finally:
        await store.aclose()


async def test_version_tells_of_every_commit(store: Rows, tmp_path: Path) -> None:
    assert store.version() is None  # nothing was read yet
    await store.put_container(container("a"))
    other = sqlite_rows(tmp_path / "deep" / "store.sqlite")  # as of another process
    try:
        assert await other.container("a") is not None
        first = store.version()
        assert first is not None
        assert [store.version(), store.of("x").version()] == [first, first]
        assert await other.container("a") is not None
        assert store.version() == first  # reading changes nothing
        await other.put_network("a", '{"x": 1}')
        assert store.version() != first
    finally:
        await other.aclose()
    await store.aclose()
    assert store.version() is None
