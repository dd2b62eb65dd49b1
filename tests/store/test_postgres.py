"""What is particular to PostgreSQL: its connections, its password, its rights, and its restarts."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from agent_kernel.errors import AgentKernelError, ConfigurationError
from agent_kernel.store.base import Store
from agent_kernel.store.catalogue import open_store
from agent_kernel.store.postgres.connecting import DatabaseAddress
from agent_kernel.store.postgres.database import Membership, PostgresDatabase, _Change
from agent_kernel.store.postgres.migrations import MIGRATIONS
from tests.store.postgres import PASSWORD, QUOTED, Postgres
from tests.store.rows_made import container, turn
from tests.store.test_coordination import Turns

OpenAt = Callable[..., Store]


@pytest.fixture
async def open_at(tmp_path: Path) -> AsyncIterator[OpenAt]:
    stores: list[Store] = []

    def open_at(url: str, folder: str = "data") -> Store:
        stores.append(open_store(url, tmp_path / folder))
        return stores[-1]

    yield open_at
    for store in stores:
        await store.aclose()


async def refused(store: Store) -> str:
    """Use a store that cannot be used; return all that a log would have of it."""
    with pytest.raises(ConfigurationError) as caught:
        await store.rows.identity()
    assert caught.value.hint
    return said(caught.value) + caught.value.hint


def said(error: AgentKernelError) -> str:
    text = "".join(traceback.format_exception(error))
    for secret in (PASSWORD, QUOTED):
        assert secret not in f"{text} {error.hint}"
    return text


async def test_goes_on_after_a_restart_of_the_server(postgres: Postgres, open_at: OpenAt) -> None:
    url = postgres.new()
    rows = open_at(url).rows
    await rows.put_response(turn("a"))
    for _ in range(3):
        postgres.drop_connections(url)
        assert await rows.response("a") == turn("a")


async def test_a_transaction_that_breaks_off_changes_nothing(postgres: Postgres, open_at: OpenAt) -> None:
    rows = open_at(postgres.new()).rows
    await rows.put_container(container("a"))
    with pytest.raises(psycopg.Error):
        await rows.put_response(turn("a", created_at="no number"))
    with pytest.raises(psycopg.Error):
        await rows.put_response(turn("a", model=None))
    assert await rows.response("a") is None
    assert await rows.container("a") == container("a"), "the connection works as before"


async def test_names_lose_nul(postgres: Postgres, open_at: OpenAt) -> None:
    rows = open_at(postgres.new()).rows
    await rows.put_container(container("a", name="a\0b"))
    row = await rows.container("a")
    assert row is not None
    assert row.name == "a\ufffdb"


async def test_wrong_password_is_not_shown(postgres: Postgres, open_at: OpenAt) -> None:
    wrong = "wr0ng/pass:word@x"
    url = postgres.url("postgres", "wr0ng%2Fpass%3Aword%40x")
    text = await refused(open_at(url))
    assert "password authentication failed" in text
    assert wrong not in text


async def test_nothing_listens(open_at: OpenAt) -> None:
    text = await refused(open_at(f"postgresql://me:{QUOTED}@127.0.0.1:1/none"))
    assert "Connection refused" in text


async def test_missing_database(postgres: Postgres, open_at: OpenAt) -> None:
    assert "does not exist" in await refused(open_at(postgres.url("none")))


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://me:{PASSWORD}@h/x?nothing={PASSWORD}",
        f"postgresql://me:{QUOTED}@h:{PASSWORD}/x",
        f"postgresql://me:{PASSWORD}@h/x",
        f"postgresql://me:12/{PASSWORD}@h/x",
        f"postgresql:{PASSWORD}",
        f"{PASSWORD}",
        f"mysql://me:{PASSWORD}@h/x",
        "",
    ],
)
def test_wrong_url_is_not_shown(open_at: OpenAt, url: str) -> None:
    with pytest.raises(ConfigurationError, match="AGENT_KERNEL_STORE") as caught:
        open_at(url)
    said(caught.value)
    assert caught.value.hint


async def test_servers_of_several_machines_share_it(postgres: Postgres, open_at: OpenAt) -> None:
    url = postgres.new()
    here, there = open_at(url), open_at(url, "elsewhere")
    assert await here.rows.identity() == await there.rows.identity()
    assert await here.rows.claim_sandboxes("here") == "here"
    assert await there.rows.claim_sandboxes("there") == "here"


async def test_blobs_of_an_older_store_move_in(postgres: Postgres, open_at: OpenAt, tmp_path: Path) -> None:
    """Older versions kept the bytes of files in the data folder, and noted the folder's id."""
    url, folder = postgres.new(), tmp_path / "data"
    await open_at(url).rows.identity()
    older = folder / "files"
    older.mkdir(parents=True)
    (older / "file-1").write_bytes(b"older")
    (folder / "folder-id").write_text("abc")
    with psycopg.connect(url) as connection:
        connection.execute("INSERT INTO meta (key, value) VALUES ('folder', 'abc')")
    assert await open_at(url, "elsewhere").blobs.sizes() == {}, "another server does not have them"
    assert await open_at(url).blobs.sizes() == {"file-1": 5}
    assert [part async for part in open_at(url, "elsewhere").blobs.get("file-1")] == [b"older"]
    assert list(older.iterdir()) == []
    (older / "file-2").write_bytes(b"of a SQLite store")
    assert await open_at(url).blobs.sizes() == {"file-1": 5}


async def test_a_change_is_made_once_when_the_server_goes(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connection breaks off before the change, inside it, and after it was committed unheard."""
    url = postgres.new()
    database = PostgresDatabase(DatabaseAddress(url))
    number = "SELECT pg_backend_pid()"
    await database.do(lambda db: db.execute("CREATE TABLE told (word TEXT)"))

    for broken_at in ("first", "second", "commit"):
        runs: list[int] = []

        def work(db: Any, broken_at: str = broken_at, runs: list[int] = runs) -> int:
            runs.append(db.execute(number).fetchone()[0])
            db.execute("INSERT INTO told VALUES (?)", (broken_at,))
            if broken_at == "second" and len(runs) == 1:
                postgres.drop_connections(url)
                db.execute("INSERT INTO told VALUES ('twice')")
            return len(runs)

        if broken_at == "first":
            postgres.drop_connections(url)
        if broken_at == "commit":
            await _unheard_commit(url, work, monkeypatch)
        else:
            await database.do(work)
        assert len(runs) == (2 if broken_at == "second" else 1)
    told = await database.do(lambda db: db.execute("SELECT word FROM told").fetchall(), reads=True)
    assert sorted(told) == [("commit",), ("first",), ("second",)]
    await database.aclose()


async def _unheard_commit(url: str, work: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a change whose connection is lost between its commit and the answer to it."""
    change = _Change(work, False, Membership())
    connection = DatabaseAddress(url).connect()
    real = connection.execute

    def execute(query: Any, *values: Any) -> Any:
        answer = real(query, *values)
        if query == "COMMIT":
            connection.close()
            raise psycopg.OperationalError("the connection is lost")
        return answer

    monkeypatch.setattr(connection, "execute", execute)
    with pytest.raises(psycopg.OperationalError):
        change.run(connection)
    again = DatabaseAddress(url).connect()
    assert change.run(again) == 1
    again.close()


async def test_who_was_taken_for_dead_changes_nothing(postgres: Postgres, open_at: OpenAt) -> None:
    url = postgres.new()
    one, two = open_at(url), open_at(url)
    await one.coordination.join()
    await one.rows.put_response(turn("a"))
    with psycopg.connect(url) as connection:
        connection.execute("DELETE FROM peers WHERE id = %s", (one.coordination.id,))
    assert not await two.coordination.is_alive(one.coordination.id)
    with pytest.raises(ConfigurationError, match="taken over its turns"):
        await one.rows.put_response(turn("b"))
    assert await one.rows.response("a") == turn("a"), "it may read"
    assert await two.rows.response("b") is None


async def test_death_and_departure_are_noticed(postgres: Postgres, open_at: OpenAt) -> None:
    url = postgres.new()
    one, two, three = (open_at(url).coordination for _ in range(3))
    noticed = asyncio.Event()

    async def died() -> None:
        noticed.set()

    async def nobody() -> None:
        raise AssertionError

    async with asyncio.timeout(60):
        await three.join()
        await two.serve(lambda _: None, nobody)
        assert not await two.has_successor()
        await one.serve(lambda _: None, died)
        assert await two.has_successor()
        two._died = None  # type: ignore[attr-defined]
        await three._line.aclose()  # type: ignore[attr-defined]  # as when it is killed
        await noticed.wait()
        assert not await one.is_alive(three.id)
        noticed.clear()
        await two.aclose()
        await noticed.wait()
        assert not await one.is_alive(two.id)


async def test_the_line_is_made_again(postgres: Postgres, open_at: OpenAt) -> None:
    """A restart of the database: nobody is taken for dead, and who follows a turn hears of it."""
    url = postgres.new()
    one, two = open_at(url).coordination, open_at(url).coordination
    turns: Any = Turns()
    await one.serve(lambda _: turns)
    await two.join()
    async with asyncio.timeout(60):
        news = two.news(one.id, "resp_1")
        await anext(news)
        await anext(news)
        postgres.crash()
        turns.grow(ended=True)
        async for _ in news:
            pass
        assert await two.is_alive(one.id)
        assert await one.is_alive(two.id)
        await one.join()


async def test_a_database_of_a_newer_build_is_refused(postgres: Postgres, open_at: OpenAt) -> None:
    url = postgres.new()
    await open_at(url).rows.identity()
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE meta SET value = %s WHERE key = 'version'", (str(len(MIGRATIONS) + 1),))
    assert "newer agent-kernel" in await refused(open_at(url))


async def test_a_database_without_rights_is_refused(postgres: Postgres, open_at: OpenAt) -> None:
    url = postgres.new()
    with psycopg.connect(url) as connection:
        connection.execute(f"CREATE ROLE guest{url[-1]} LOGIN PASSWORD 'guest'")
        connection.execute("REVOKE CREATE ON SCHEMA public FROM public")
    name = url.rpartition("/")[2]
    text = await refused(open_at(f"postgresql://guest{url[-1]}:guest@127.0.0.1:{postgres.port}/{name}"))
    assert "permission denied" in text
    assert f"GRANT USAGE, CREATE ON SCHEMA public TO guest{url[-1]}" in text


async def test_a_role_uses_what_another_has_made(postgres: Postgres, open_at: OpenAt) -> None:
    """The tables are its owner's; the server's role gets what the message names, and no more."""
    url = postgres.new()
    name, role = url.rpartition("/")[2], f"clerk{url.rpartition('_')[2]}"
    await open_at(url).rows.identity()
    with psycopg.connect(url) as connection:
        connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'clerk'".encode())
    theirs = f"postgresql://{role}:clerk@127.0.0.1:{postgres.port}/{name}"
    text = await refused(open_at(theirs))
    grant = f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}"
    sequences = f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {role}"
    assert grant in text
    assert sequences in text
    with psycopg.connect(url) as connection:
        connection.execute(grant.encode())
        connection.execute(sequences.encode())
        connection.execute("REVOKE CREATE ON SCHEMA public FROM public")
    clerk = open_at(theirs)
    await clerk.rows.put_response(turn("a"))
    await clerk.coordination.join()
    assert await clerk.rows.response("a") == turn("a")
