"""What is particular to PostgreSQL: its connection, its password, and the folder that it belongs to."""

from __future__ import annotations

import traceback
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psycopg
import pytest

from agent_kernel.errors import AgentKernelError, ConfigurationError
from agent_kernel.store.base import Store
from agent_kernel.store.catalogue import open_store
from agent_kernel.store.postgres.migrations import MIGRATIONS
from tests.store.postgres import PASSWORD, QUOTED, Postgres
from tests.store.rows_made import container, turn

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
    return said(caught.value)


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


async def test_another_data_folder_is_refused(postgres: Postgres, open_at: OpenAt) -> None:
    url = postgres.new()
    assert await open_at(url).rows.identity() == await open_at(url).rows.identity()
    assert "one machine" in await refused(open_at(url, "elsewhere"))
    await open_at(url).rows.identity()


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
