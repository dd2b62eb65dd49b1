"""Starts after a crash, on an empty store and on a large one."""

from __future__ import annotations

import sqlite3
import statistics
from pathlib import Path

import httpx

from benchmarks.hub.server import serving

COPY = """
WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?)
INSERT INTO responses (id, created_at, status, model, request, input, response, tenant)
SELECT 'resp_' || n, n, status, model, request, input, response, tenant FROM responses, numbers WHERE id = ?
"""


async def crashed(folder: Path, toy: Path, stored: int) -> None:
    """Make a store with so many responses, whose server has been killed."""
    async with serving(folder, toy) as server, httpx.AsyncClient(base_url=server.url) as client:
        answer = await client.post("responses", json={"input": "talk"})
        answer.raise_for_status()
        await server.kill()
    if stored:
        with sqlite3.connect(folder / "store.sqlite") as connection:
            connection.execute(COPY, (stored, answer.json()["id"]))
            found = connection.execute("SELECT count(*) FROM responses").fetchone()
        connection.close()
        if found[0] <= stored:
            raise RuntimeError("The store was not filled.")


async def start(folder: Path, toy: Path) -> float:
    """Return the seconds from the start of a server until it serves; it is killed then."""
    async with serving(folder, toy) as server:
        await server.kill()
        return server.started_in


async def starts(folder: Path, toy: Path, stored: int, times: int) -> tuple[float, float]:
    """Return the median seconds of starts on an empty store and on a large one, in turns."""
    empty, large = folder / "empty", folder / "large"
    await crashed(empty, toy, 0)
    await crashed(large, toy, stored)
    pairs = [(await start(empty, toy), await start(large, toy)) for _ in range(times)]
    return statistics.median(each for each, _ in pairs), statistics.median(each for _, each in pairs)
