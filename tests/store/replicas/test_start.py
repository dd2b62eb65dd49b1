"""What a server reads when it starts after a crash does not grow with what is stored."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import psycopg

from agent_kernel.store.catalogue import open_store
from tests.cli.moving import Environment, runtime_of
from tests.store.postgres import Postgres
from tests.store.rows_made import turn

STORED = 100_000

_COPY = """
INSERT INTO responses (id, created_at, status, model, request, input, response)
SELECT 'resp_' || n, n, status, model, request, input, response FROM responses, generate_series(1, %s) n
WHERE id = 'ended'
"""

_OTHERS = """
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
"""

_READ = """
SELECT coalesce(sum(seq_tup_read + coalesce(idx_tup_fetch, 0)), 0) FROM pg_stat_user_tables
WHERE relname IN ('responses', 'events', 'items')
"""


async def read_at_start(url: str, environment: Environment) -> int:
    """Start a server on a store whose last server has died in five turns; return how many rows it read."""
    store = open_store(url, environment_folder(environment))
    for number in range(5):
        await store.rows.put_response(replace(turn(f"running {number}"), owner="dead", status="in_progress"))
    await store.aclose()
    before = await quiet(url)
    async with runtime_of({**environment, "AGENT_KERNEL_STORE": url}) as runtime:
        await runtime.start()
        await runtime._tenants.recovery.again()
    return await quiet(url) - before


def environment_folder(environment: Environment) -> Path:
    return Path(environment["AGENT_KERNEL_DATA_DIR"])


async def quiet(url: str) -> int:
    """Wait until all others have left the database, which then knows what they have read; return that."""
    connection = await psycopg.AsyncConnection.connect(url, autocommit=True)
    async with connection, asyncio.timeout(60):
        while True:
            cursor = await connection.execute(_OTHERS)
            if await cursor.fetchone() == (0,):
                break
            await asyncio.sleep(0.05)  # PostgreSQL tells nobody when a connection has ended
        found = await (await connection.execute(_READ)).fetchone()
    assert found is not None
    return int(found[0])


async def test_a_start_reads_no_more_of_a_large_store(
    postgres: Postgres, own_environment: Environment
) -> None:
    empty, large = postgres.new(), postgres.new()
    store = open_store(large, environment_folder(own_environment))
    await store.rows.put_response(replace(turn("ended"), owner=None, status="completed"))
    await store.aclose()
    with psycopg.connect(large, autocommit=True) as connection:
        connection.execute(_COPY, (STORED,))
        connection.execute("ANALYZE responses")
    few, many = await read_at_start(empty, own_environment), await read_at_start(large, own_environment)
    assert few >= 5
    assert many <= 3 * few
