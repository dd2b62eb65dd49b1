"""Three servers behind a load balancer without stickiness, killed at every stage of their turns.

They share a PostgreSQL store. A short run kills one server at each stage; the long one is marked slow.
`CHAOS_SEED` changes both.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from pathlib import Path

import httpx2
import openai
import psycopg
import pytest
from openai import AsyncOpenAI

from tests.server.chaos.checks import check, left
from tests.server.chaos.storm import LOST, MODES, STAGES, Client, Process, Spawner, Stages, Upstream
from tests.store.postgres import Postgres
from tests.store.replicas.proxy import RoundRobin

SERVERS = 3
SHORT = (50, len(STAGES))
LONG = (200, 32)
SEED = int(os.environ.get("CHAOS_SEED", "7"))


def every_request_anew(url: str) -> AsyncOpenAI:
    """A client that keeps no connection, so that each request reaches another server."""
    fresh = openai.DefaultAsyncHttpx2Client(limits=httpx2.Limits(max_keepalive_connections=0))
    return AsyncOpenAI(base_url=url, api_key="x", max_retries=0, timeout=120, http_client=fresh)


async def live(client: Client, openai_client: AsyncOpenAI, over: asyncio.Event) -> None:
    """Run turns until the storm is over; a request that is lost with its server is followed by the next."""
    while not over.is_set():
        try:
            await client.go_on(openai_client)
        except LOST:
            continue
        except openai.BadRequestError as error:
            if "is still" not in str(error):
                raise
            await asyncio.sleep(0.05)  # its server is dead, which the others are about to learn


@pytest.mark.bubblewrap
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("turns", "kills"), [SHORT, pytest.param(*LONG, marks=pytest.mark.slow)])
async def test_killed_at_every_stage(
    own_environment: dict[str, str],
    bubblewrap_backend: object,
    postgres: Postgres,
    tmp_path: Path,
    turns: int,
    kills: int,
) -> None:
    dice, stages, over = random.Random(SEED), Stages(), asyncio.Event()
    clients = [Client(mode, stages, random.Random(f"{SEED} {mode}")) for mode in MODES]
    log, url = tmp_path / "server.log", postgres.new()
    aims = [STAGES[n % len(STAGES)] for n in range(kills)]
    dice.shuffle(aims)
    environment = {**own_environment, "AGENT_KERNEL_STORE": url}
    async with Upstream(stages, random.Random(SEED)).serving() as upstream, RoundRobin().serving() as proxy:
        where = ("--sandbox", "bubblewrap", "--server-lease", "900", "--pause-after", "0")
        flags = (*where, "--upstream-url", upstream.url, "--model", "chat/m")
        async with Spawner.ready(environment, log, *flags) as spawner:
            servers: dict[str, Process] = {}

            async def start(name: str) -> None:
                servers[name] = await spawner.start()
                proxy.servers[name] = servers[name].port

            await asyncio.gather(*(start(f"server {n}") for n in range(SERVERS)))
            client = every_request_anew(proxy.url)
            async with asyncio.TaskGroup() as group:
                for each in clients:
                    group.create_task(live(each, client, over))
                for number, aim in enumerate(aims, 1):
                    await stages.until_turns(number * turns // kills)
                    await stages.until(aim)
                    await asyncio.sleep(dice.choice((0, 0, dice.uniform(0, 0.05))))
                    name = proxy.busiest()
                    await servers[name].end(signal.SIGKILL)
                    await start(name)
                over.set()
            await check(client, clients, upstream, turns)
            await client.close()
            assert min(proxy.served[name] for name in servers) > turns // 10
            for process in servers.values():
                await process.end(signal.SIGTERM)
    assert set(stages.reached) >= set(STAGES) - {"any"}
    with psycopg.connect(url) as connection:
        for question in (
            "SELECT id FROM responses WHERE owner IS NOT NULL OR status IN ('queued', 'in_progress')",
            "SELECT id FROM containers",
            "SELECT id FROM peers",
        ):
            assert connection.execute(question.encode()).fetchall() == [], question
    assert list(left(Path(own_environment["AGENT_KERNEL_DATA_DIR"]))) == []
    words = log.read_text()
    assert "Traceback" not in words, words
    assert "ERROR" not in words, words
