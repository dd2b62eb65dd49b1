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
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from openai import AsyncOpenAI

from tests.server.chaos.storm import MODES, SHELL, STAGES, TOKENS, Client, Spawner, Stages, Told, Upstream

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
            await _check(process.client, clients, upstream, turns)
            await process.end(signal.SIGTERM)
    assert stages.turns >= turns
    assert set(stages.reached) >= set(STAGES) - {"any"}
    _check_database(data)
    assert list(_left(data)) == []
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
            ran = await _tokens(second.client, shell.environment.container_id)
            assert set(ran) == upstream.issued
            assert len(ran) == len(upstream.issued)
            later = await second.client.responses.create(input="Calls: 0", previous_response_id=turn.id)
            assert later.status == "completed"
            async for container in second.client.containers.list(limit=100):
                await second.client.containers.delete(container.id)
            await second.end(signal.SIGTERM)


async def _check(client: AsyncOpenAI, clients: list[Client], upstream: Upstream, turns: int) -> None:
    """Every chain and conversation goes on, and what the clients were told is so."""
    for each in clients:
        await each.go_on(client)
    told = {name: told for each in clients for name, told in each.told.items()}
    for response_id, what in told.items():
        await _check_response(client, response_id, what)
    for conversation in [name for each in clients for name in each.conversations]:
        await _check_conversation(client, conversation, told)
    await _check_commands(client, upstream.issued, told, turns)
    async for container in client.containers.list(limit=100):
        await client.containers.delete(container.id)


async def _check_response(client: AsyncOpenAI, response_id: str, told: Told) -> None:
    """What was said to be finished is there as it was said, and every call has its output."""
    stored = await client.responses.retrieve(response_id)
    assert stored.status == (told.status or stored.status)
    assert stored.output_text == (stored.output_text if told.text is None else told.text)
    if stored.status == "incomplete":
        assert stored.incomplete_details is not None
        assert str(stored.incomplete_details.reason) == "agent_kernel.interrupted"
    else:
        assert stored.status == "completed"
    kept: list[Any] = list(stored.output)
    by_id = {item.id: item.to_dict() for item in kept}
    assert len(by_id) == len(kept)
    assert {name: by_id.get(name) for name in told.items} == told.items
    calls = [item.call_id for item in kept if item.type == "shell_call"]
    assert len(calls) == len(set(calls))
    assert sorted(calls) == sorted(item.call_id for item in kept if item.type == "shell_call_output")


async def _check_conversation(client: AsyncOpenAI, conversation: str, told: dict[str, Told]) -> None:
    items = [item async for item in client.conversations.items.list(conversation, limit=100)]
    ids = [item.id for item in items]
    assert len(ids) == len(set(ids))
    for what in told.values():
        if what.conversation == conversation:
            assert set(what.items) <= set(ids)


async def _check_commands(client: AsyncOpenAI, issued: set[str], told: dict[str, Told], turns: int) -> None:
    """No command ran twice, and each that was said to have ended well has run."""
    ran = Counter[str]()
    used = {what.container for what in told.values()}
    async for container in client.containers.list(limit=100):
        if container.id in used:  # others may have been cut off in their start, before anybody knew of them
            ran.update(await _tokens(client, container.id))
    assert [token for token, times in ran.items() if times > 1] == []
    assert set(ran) <= issued
    ended = {
        content["stdout"].strip()
        for what in told.values()
        for item in what.items.values()
        if item["type"] == "shell_call_output"
        for content in item["output"]
        if content["outcome"] == {"type": "exit", "exit_code": 0}
    }
    assert len(ended) > turns // 4
    assert ended <= set(ran)


async def _tokens(client: AsyncOpenAI, container_id: str) -> list[str]:
    async for file in client.containers.files.list(container_id):
        if file.path == TOKENS:
            content = await client.containers.files.content.retrieve(file.id, container_id=container_id)
            return content.text.split()
    return []


def _check_database(data: Path) -> None:
    with closing(sqlite3.connect(data / "store.sqlite")) as connection:
        for question, answer in (
            ("PRAGMA integrity_check", [("ok",)]),
            ("PRAGMA foreign_key_check", []),
            ("SELECT id FROM responses WHERE owner IS NOT NULL OR status IN ('queued', 'in_progress')", []),
            ("SELECT id FROM containers", []),
        ):
            assert connection.execute(question).fetchall() == answer, question


def _left(data: Path) -> Iterator[str]:
    """Processes, mounts and folders of sandboxes that nobody has any more."""
    for process in psutil.process_iter(["cmdline"]):
        command = " ".join(process.info["cmdline"] or [])
        if str(data) in command:
            yield command
    yield from (line for line in Path("/proc/self/mounts").read_text().splitlines() if str(data) in line)
    with suppress(FileNotFoundError):
        yield from map(str, (data / "sandboxes").iterdir())
