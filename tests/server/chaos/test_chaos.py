"""A server that is killed at random moments of many turns, and what must hold afterwards.

A short run kills a server once at each stage; the long one is marked slow. `CHAOS_TURNS` and `CHAOS_KILLS`
change the long run, `CHAOS_SEED` and `CHAOS_SANDBOX` both.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.server.chaos.checks import check, left, tokens
from tests.server.chaos.storm import MODES, SHELL, STAGES, Client, Spawner, Stages, Upstream

SHORT = (24, len(STAGES))
LONG = (int(os.environ.get("CHAOS_TURNS", "210")), int(os.environ.get("CHAOS_KILLS", "32")))
SEED = int(os.environ.get("CHAOS_SEED", "5"))
SANDBOX = os.environ.get("CHAOS_SANDBOX", "bubblewrap")
pytestmark = pytest.mark.docker if SANDBOX == "docker" else pytest.mark.bubblewrap


@pytest.fixture
def sandbox(request: pytest.FixtureRequest) -> None:
    """What the servers run their commands in is there."""
    request.getfixturevalue("docker_engine" if SANDBOX == "docker" else "bubblewrap_backend")


@pytest.mark.timeout(600 + LONG[0])
@pytest.mark.parametrize(("turns", "kills"), [SHORT, pytest.param(*LONG, marks=pytest.mark.slow)])
async def test_killed_at_every_stage(
    own_environment: dict[str, str], sandbox: object, tmp_path: Path, turns: int, kills: int
) -> None:
    dice, stages = random.Random(SEED), Stages()
    clients = [Client(mode, stages, random.Random(f"{SEED} {mode}")) for mode in MODES]
    log = tmp_path / "server.log"
    data = Path(own_environment["AGENT_KERNEL_DATA_DIR"])
    aims = [STAGES[n % len(STAGES)] for n in range(kills)]
    dice.shuffle(aims)
    async with Upstream(stages, random.Random(SEED)).serving() as upstream:
        where = ("--sandbox", SANDBOX, "--server-lease", "900", "--pause-after", "0")
        flags = (*where, "--upstream-url", upstream.url, "--model", "chat/m")
        async with Spawner.ready(own_environment, log, *flags) as spawner:
            for number, aim in enumerate(aims, 1):
                process = await spawner.start()
                async with asyncio.TaskGroup() as group:
                    for client in clients:
                        group.create_task(client.live(process.client))
                    await stages.until_turns(number * turns // kills)
                    await stages.until(aim)
                    await asyncio.sleep(dice.choice((0, 0, dice.uniform(0, 0.05))))
                    await process.end(signal.SIGKILL)
            process = await spawner.start()
            await check(process.client, clients, upstream, turns)
            await process.end(signal.SIGTERM)
    assert stages.turns >= turns
    assert set(stages.reached) >= set(STAGES) - {"any"}
    _check_database(data)
    assert list(left(data)) == []
    words = log.read_text()
    assert "Traceback" not in words, words
    assert "ERROR" not in words, words


@pytest.mark.parametrize("rule", ["resume", "end"])
async def test_a_background_turn_goes_on_with_the_next_server(
    own_environment: dict[str, str], sandbox: object, tmp_path: Path, rule: str
) -> None:
    """Killed while its model is asked again, after a command: the command is not run again."""
    stages = Stages()
    async with Upstream(stages, random.Random(SEED)).serving() as upstream:
        where = ("--sandbox", SANDBOX, "--server-lease", "900", "--background-restart", rule)
        flags = (*where, "--upstream-url", upstream.url, "--model", "chat/m")
        async with Spawner.ready(own_environment, tmp_path / "server.log", *flags) as spawner:
            upstream.hold_at = 2
            first = await spawner.start()
            turn = await first.client.responses.create(input="Calls: 1", tools=[SHELL], background=True)
            await upstream.holding.wait()
            await first.end(signal.SIGKILL)
            upstream.goes_on.set()
            second = await spawner.start()
            events = [event async for event in await second.client.responses.retrieve(turn.id, stream=True)]
            assert [event.sequence_number for event in events] == list(range(len(events)))
            stored = await second.client.responses.retrieve(turn.id)
            last: Any = events[-1]
            assert last.response.to_dict() == stored.to_dict()
            if rule == "resume":
                assert (stored.status, stored.output_text) == ("completed", "These are the last words.")
            else:
                assert (stored.status, stored.output_text) == ("incomplete", "")
            shell: Any = stored.tools[0]
            ran = await tokens(second.client, shell.environment.container_id)
            assert set(ran) == upstream.issued
            assert len(ran) == len(upstream.issued)
            later = await second.client.responses.create(input="Calls: 0", previous_response_id=turn.id)
            assert later.status == "completed"
            async for container in second.client.containers.list(limit=100):
                await second.client.containers.delete(container.id)
            await second.end(signal.SIGTERM)


def _check_database(data: Path) -> None:
    with closing(sqlite3.connect(data / "store.sqlite")) as connection:
        for question, answer in (
            ("PRAGMA integrity_check", [("ok",)]),
            ("PRAGMA foreign_key_check", []),
            ("SELECT id FROM responses WHERE owner IS NOT NULL OR status IN ('queued', 'in_progress')", []),
            ("SELECT id FROM containers", []),
        ):
            assert connection.execute(question).fetchall() == answer, question
