"""Destinations that are asked about: one question, its answers and its end, and the rules before it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from agent_kernel.egress.policy import NetworkPolicy
from agent_kernel.errors import ConnectDenied
from agent_kernel.policy.rules import read_policy
from agent_kernel.runtime.network.egress import UNATTENDED, RunningCall, program_of
from agent_kernel.runtime.network.questions import MOST_OPEN, NetworkAnswer, NetworkQuestion
from agent_kernel.runtime.observe.audit import AuditLog
from agent_kernel.store.rows import Rows
from tests.egress.inside import program
from tests.runtime.network.test_egress import Made, port, row

__all__ = ["port"]

Audited = Callable[..., list[dict[str, Any]]]


class Person:
    """An asker: keeps the questions, and answers them when told to."""

    def __init__(self) -> None:
        self.questions: list[NetworkQuestion] = []
        self.withdrawn = 0
        self._answers: list[asyncio.Future[NetworkAnswer]] = []
        self._news = asyncio.Condition()

    async def ask(self, question: NetworkQuestion) -> NetworkAnswer:
        answer: asyncio.Future[NetworkAnswer] = asyncio.get_running_loop().create_future()
        self.questions.append(question)
        self._answers.append(answer)
        await self._tell()
        try:
            return await answer
        except asyncio.CancelledError:
            self.withdrawn += 1
            await self._tell()
            raise

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()

    async def asked(self, count: int = 1) -> None:
        async with self._news:
            await self._news.wait_for(lambda: len(self.questions) >= count)

    async def gone(self, count: int = 1) -> None:
        async with self._news:
            await self._news.wait_for(lambda: self.withdrawn >= count)

    def say(self, allow: bool, **more: Any) -> None:
        self._answers[-1].set_result(NetworkAnswer(allow, "alice", **more))


@pytest.fixture
def person() -> Person:
    return Person()


@pytest.fixture
async def asking(store: Rows, tmp_path: Path, port: int) -> Made:
    """A container that asks, within the operator's `echo.internal` and `*.internal.example`."""
    bound = NetworkPolicy.parse([f"tcp://echo.internal:{port}", "*.internal.example"])
    container = row(NetworkPolicy((), asks=True), bound)
    await store.put_container(container)
    made = Made(store, AuditLog(tmp_path / "audit.jsonl"), bound)
    await made.egress()
    return made


def call(person: Person | None, *policies: Any, name: str = "call_1") -> RunningCall:
    command = "/usr/bin/curl -s echo.internal"
    return RunningCall("resp_1", name, command, person, [read_policy(each) for each in policies])


async def refused(made: Made, port: int, name: str = "echo.internal") -> str:
    with pytest.raises(ConnectDenied) as caught:
        await made.ask(port, name)
    return caught.value.message


async def test_one_question_for_all_connections_to_a_host(
    asking: Made, port: int, person: Person, audited: Audited
) -> None:
    egress = await asking.egress()
    with asking.networks.calling("cntr_a", call(person)):
        async with (
            program(egress, "echo.internal", port) as one,
            program(egress, "ECHO.internal.", port) as two,
        ):
            await person.asked()
            while asking.networks.used("cntr_a")[0][0].open < 2:  # noqa: ASYNC110 (no event says who waits)
                await asyncio.sleep(0)
            assert not one.accepted.is_set()
            person.say(True)
            assert await one.ask(b"a") == b"hello a"
            assert await two.ask(b"b") == b"hello b"
        (question,) = person.questions
        assert (question.container, question.name, question.port) == ("cntr_a", "echo.internal", port)
        assert (question.program, question.command) == ("curl", "/usr/bin/curl -s echo.internal")
        assert "asks" in question.reason
        async with program(egress, "echo.internal", port):
            await person.asked(2)  # once was for those that waited
    await person.gone()
    asking.audit.close()  # so that no line waits for others
    allowed = audited("connection")[0]
    assert (allowed["decision"], allowed["by"], allowed["command"]) == ("allowed", "alice", question.command)
    assert (await asking.allowed(), person.withdrawn) == ([], 1)


async def test_answer_for_the_container_is_in_its_policy(asking: Made, port: int, person: Person) -> None:
    egress = await asking.egress()
    with asking.networks.calling("cntr_a", call(person)):
        async with program(egress, "echo.internal", port) as one:
            await person.asked()
            person.say(True, scope="container")
            assert await one.ask() == b"hello "
    assert await asking.allowed() == [f"tcp://echo.internal:{port}"]
    assert await asking.ask(port) == b"hello there"
    asking.networks = asking.another()
    assert await asking.ask(port) == b"hello there"
    await asking.allow(NetworkPolicy())
    assert "not in the allowlist" in await refused(asking, port)


async def test_denial_names_the_reason(asking: Made, port: int, person: Person, audited: Audited) -> None:
    egress = await asking.egress()
    with asking.networks.calling("cntr_a", call(person)):
        async with program(egress, "echo.internal", port) as one:
            await person.asked()
            person.say(False, reason="denied by the person who was asked: not\x1b today")
            with pytest.raises(ConnectDenied, match="was refused: denied by the person who was asked: not"):
                await one.ask()
    (line,) = asking.networks.take_refusals("cntr_a")
    assert (
        line == f"Network: echo.internal:{port} was refused: denied by the person who was asked: not today."
    )
    assert audited("connection")[0]["by"] == "alice"


async def test_outside_the_bound_nobody_is_asked(asking: Made, port: int, person: Person) -> None:
    with asking.networks.calling("cntr_a", call(person)):
        for name in ("other.internal", "internal.example", "127.0.0.1", "e\x1bcho"):
            await refused(asking, port, name)
        assert "operator's network policy" in await refused(asking, port + 1)
    assert person.questions == []


async def test_nobody_to_ask_is_a_refusal(asking: Made, port: int) -> None:
    assert UNATTENDED in await refused(asking, port)
    with asking.networks.calling("cntr_a", call(None)):
        assert UNATTENDED in await refused(asking, port)


async def test_question_ends_with_its_last_connection(asking: Made, port: int, person: Person) -> None:
    egress = await asking.egress()
    with asking.networks.calling("cntr_a", call(person)):
        async with program(egress, "echo.internal", port):
            async with program(egress, "echo.internal", port):
                await person.asked()
            assert person.withdrawn == 0
        await person.gone()
    assert len(person.questions) == 1


async def test_question_ends_with_its_call(asking: Made, port: int, person: Person) -> None:
    egress = await asking.egress()
    async with program(egress, "echo.internal", port) as inside:
        with asking.networks.calling("cntr_a", call(person)):
            await person.asked()
        with pytest.raises(ConnectDenied, match="the command ended before"):
            await inside.ask()
    await person.gone()


@pytest.mark.parametrize("wider", [True, False])
async def test_change_of_the_policy_answers(asking: Made, port: int, person: Person, wider: bool) -> None:
    egress = await asking.egress()
    policy = NetworkPolicy.parse([f"tcp://echo.internal:{port}"]) if wider else NetworkPolicy()
    with asking.networks.calling("cntr_a", call(person)):
        async with program(egress, "echo.internal", port) as inside:
            await person.asked()
            await asking.allow(policy)
            asking.networks.change("cntr_a", policy)
            if wider:
                assert await inside.ask() == b"hello "
            else:
                with pytest.raises(ConnectDenied, match="not in the allowlist"):
                    await inside.ask()


async def test_connection_allowed_once_ends_with_the_policy(asking: Made, port: int, person: Person) -> None:
    egress = await asking.egress()
    with asking.networks.calling("cntr_a", call(person)):
        async with program(egress, "echo.internal", port) as inside:
            await person.asked()
            person.say(True)
            reader, writer = await inside.streams()
            assert await reader.readexactly(6) == b"hello "
            asking.networks.change("cntr_a", NetworkPolicy((), asks=True))
            writer.write(b"x")
            assert await reader.readexactly(1) == b"x"
            asking.networks.change("cntr_a", NetworkPolicy())
            assert await reader.read() == b""
            writer.close()


async def test_open_questions_are_limited(asking: Made, port: int, person: Person) -> None:
    egress = await asking.egress()
    with asking.networks.calling("cntr_a", call(person)):
        async with AsyncExitStack() as programs:
            for number in range(MOST_OPEN):
                inside = program(egress, f"h{number}.internal.example", port)
                await programs.enter_async_context(inside)
            await person.asked(MOST_OPEN)
            why = f"{MOST_OPEN} other destinations wait for an answer already"
            assert why in await refused(asking, port, "more.internal.example")
    await person.gone(MOST_OPEN)


@pytest.mark.parametrize(
    ("command", "program"),
    [
        ("pip install x", "pip"),
        ("cd /tmp && /usr/bin/git clone https://git.example/a", "git"),
        ("curl a.example | jq .", ""),
        ("$(echo curl) a.example", ""),
        ("'a b' x", ""),
        ("echo one", ""),
        ("", ""),
    ],
)
def test_program_is_named_only_if_it_is_clear(command: str, program: str) -> None:
    assert program_of(command) == program


RULES = {
    "deny": {"default": "auto", "rules": [{"host": "*.internal", "action": "deny", "reason": "Not\nthis."}]},
    "ask": {"default": "auto", "rules": [{"host": "echo.internal", "action": "ask"}]},
    "allow": {"default": "auto", "rules": [{"host": "echo.internal", "action": "allow"}]},
}


async def test_rule_decides_before_the_question(
    asking: Made, port: int, person: Person, audited: Audited
) -> None:
    with asking.networks.calling("cntr_a", call(person, RULES["allow"])):
        assert await asking.ask(port) == b"hello there"
    with asking.networks.calling("cntr_a", call(person, RULES["allow"], RULES["deny"])):
        assert "denied by a rule: Not this." in await refused(asking, port)
    assert person.questions == []
    assert [each["by"] for each in audited("connection")] == ["rule", "rule"]


async def test_rule_is_stricter_than_the_allowlist(asking: Made, port: int, person: Person) -> None:
    await asking.allow(asking.policy)
    assert await asking.ask(port) == b"hello there"
    with asking.networks.calling("cntr_a", call(None, RULES["ask"])):
        assert UNATTENDED in await refused(asking, port)
    egress = await asking.egress()
    with asking.networks.calling("cntr_a", call(person, RULES["ask"])):
        async with program(egress, "echo.internal", port) as inside:
            await person.asked()
            assert "asks before connections to `echo.internal`" in person.questions[0].reason
            person.say(True, scope="container")
            assert await inside.ask() == b"hello "
        assert await asking.ask(port) == b"hello there"
    asking.networks.change("cntr_a", asking.policy)
    with asking.networks.calling("cntr_a", call(None, RULES["ask"])):
        assert UNATTENDED in await refused(asking, port)


async def test_rule_to_allow_does_not_widen_an_allowlist(asking: Made, port: int, person: Person) -> None:
    await asking.allow(NetworkPolicy())
    with asking.networks.calling("cntr_a", call(person, RULES["allow"])):
        assert "not in the allowlist" in await refused(asking, port)


async def test_operators_rule_holds_without_a_call(asking: Made, port: int) -> None:
    await asking.allow(asking.policy)
    asking.networks = asking.another(rules=read_policy(RULES["deny"]))
    assert "denied by a rule" in await refused(asking, port)
