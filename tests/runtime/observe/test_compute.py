"""What a container's meter makes of its readings."""

from __future__ import annotations

from agent_kernel.runtime.observe.compute import ComputeMeter, ComputeUse
from agent_kernel.sandboxes.optional import ComputeUsage


class Counters:
    """A sandbox's counters, and a clock."""

    def __init__(self) -> None:
        self.now = 0.0
        self.sent = 10
        self.usage: ComputeUsage | None = ComputeUsage(5.0, 100)
        self.readings = 0

    async def read(self, sandbox: str) -> ComputeUsage | None:
        self.readings += 1
        return self.usage

    def meter(self) -> ComputeMeter:
        return ComputeMeter("toy", self.read, lambda: self.sent, lambda: self.now)


async def test_memory_counts_while_calls_run() -> None:
    counters = Counters()
    meter = counters.meter()
    async with meter.running("a", "turn"), meter.running("a", "turn"):
        counters.now, counters.usage = 2.0, ComputeUsage(6.0, 1000)
        await meter.look()
        counters.now, counters.usage = 3.0, ComputeUsage(6.5, 50)
    counters.now = 100.0
    taken = await meter.take("turn")
    assert taken is not None
    assert (taken.cpu_seconds, taken.memory_byte_seconds) == (1.5, 2.0 * 1000 + 1.0 * 50)
    assert await meter.take("turn") is None


async def test_what_is_used_between_turns_is_the_next_ones() -> None:
    counters = Counters()
    meter = counters.meter()
    shown = []
    for turn_id, cpu, sent in (("one", 6.0, 15), ("two", 9.0, 17), ("three", 8.0, 17)):
        async with meter.running("a", turn_id):
            counters.usage, counters.sent = ComputeUsage(cpu, 0), sent
        taken = await meter.take(turn_id)
        assert taken is not None
        shown.append((taken.cpu_seconds, taken.bytes_out))
    assert shown == [(1.0, 5), (3.0, 2), (0.0, 0)]


async def test_another_sandbox_begins_anew() -> None:
    counters = Counters()
    meter = counters.meter()
    async with meter.running("a", "turn"):
        counters.usage = ComputeUsage(7.0, 0)
        await meter.look()
        counters.usage = None  # it has died, and another one replaces it
        await meter.look()
    counters.usage = ComputeUsage(0.5, 0)
    async with meter.running("b", "turn"):
        counters.usage = ComputeUsage(0.75, 0)
    taken = await meter.take("turn")
    assert taken is not None
    assert taken.cpu_seconds == 2.25


async def test_a_slow_source_is_read_while_the_model_answers() -> None:
    counters = Counters()
    counters.usage = ComputeUsage(5.0, 0, slow=True)
    meter = counters.meter()
    async with meter.running("a", "turn"):
        counters.usage = ComputeUsage(6.0, 0, slow=True)
    taken = await meter.take("turn")
    assert taken is not None
    assert taken.cpu_seconds == 1.0
    assert counters.readings == 2, "before the call and behind it, and not once more at the turn's end"


def test_what_was_not_measured_is_named_and_not_zero() -> None:
    use = ComputeUse("toy", bytes_out=7)
    assert use.shown() == {"bytes_out": 7, "not_measured": ["cpu_seconds", "memory_byte_seconds"]}
    assert use.counts() == {"sandbox_sent_bytes_total": 7, "sandbox_unmeasured_turns_total": 1}
    measured = ComputeUse("toy", 1.0, 2.0, 3)
    assert measured.shown() == {"bytes_out": 3, "cpu_seconds": 1.0, "memory_byte_seconds": 2}
    assert "sandbox_unmeasured_turns_total" not in measured.counts()
