from __future__ import annotations

import pytest

from agent_kernel.egress.limits import LimitExceeded, NetworkLimits, NetworkMeter
from agent_kernel.egress.records import MAX_DESTINATIONS, ConnectionRecord, NetworkUse
from tests.egress.inside import program
from tests.egress.test_broker import Outside, outside, refusal

__all__ = ["outside"]


async def test_concurrent_connections_are_limited(outside: Outside) -> None:
    broker = outside.broker("tcp://db:5432", limits=NetworkLimits(concurrent=2))
    async with program(broker, "db", 5432) as one, program(broker, "db", 5432) as two:
        await one.accepted.wait()
        await two.accepted.wait()
        assert "2 connections are open already" in await refusal(broker, "db", 5432)
        assert await one.ask(b"x") == b"x"
        async with program(broker, "db", 5432) as three:
            assert await three.ask(b"y") == b"y"
    assert len(outside.records) == 4


async def test_connections_per_minute_are_limited(outside: Outside) -> None:
    broker = outside.broker("tcp://db:5432", limits=NetworkLimits(per_minute=3))
    for _ in range(3):
        await refusal(broker, "evil.example", 443)
    for _ in range(4):
        assert "more than 3 connections in a minute" in await refusal(broker, "db", 5432)
    assert outside.asked == []
    assert len(outside.records) == 4, "the first of several refusals is recorded"
    assert [use.refused for use in broker.used().destinations] == [3, 4]


@pytest.mark.parametrize(
    ("limits", "what"), [({"bytes_out": 1000}, "sent"), ({"bytes_in": 1000}, "received")]
)
async def test_bytes_are_limited(outside: Outside, limits: dict[str, int], what: str) -> None:
    broker = outside.broker("tcp://db:5432", limits=NetworkLimits(**limits))
    async with program(broker, "db", 5432) as inside:
        assert await inside.ask(b"x" * 999) == b"x" * 999
    message = f"this container has {what} its limit of 1000 bytes"
    assert message in await refusal(broker, "db", 5432, b"xx")
    assert outside.records[-1].received <= 1
    async with program(broker, "db", 5432) as inside:
        assert len(await inside.ask(b"x")) == 1
    assert message in await refusal(broker, "db", 5432)
    assert outside.accepted == 3, "without bytes left nothing is dialled"


def test_minute_passes() -> None:
    now = 0.0
    meter = NetworkMeter(NetworkLimits(per_minute=2), lambda: now)
    meter.attempt()
    now = 30.0
    meter.attempt()
    with pytest.raises(LimitExceeded):
        meter.attempt()
    now = 60.0
    meter.attempt()
    with pytest.raises(LimitExceeded):
        meter.attempt()


def test_destinations_are_bounded() -> None:
    use = NetworkUse()

    def add(name: str, rule: str | None) -> None:
        decision, reason = ("allowed", "allowed by x") if rule else ("refused", "not in the allowlist")
        use.add(ConnectionRecord(name, 443, None, decision, rule, reason, None, 1, 2, 0.0, 0.0))  # type: ignore[arg-type]

    for number in range(MAX_DESTINATIONS + 50):
        add(f"n{number}.evil.example", None)
    add("api.example.org", "x")
    assert len(use.destinations) == MAX_DESTINATIONS
    assert use.omitted == 51
    assert use.destinations[-1].name == "api.example.org"
    assert (use.destinations[-1].sent, use.destinations[-1].received) == (1, 2)
