"""The loop over many things: a broken one never stops the others, an absent engine does."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_kernel import errors
from agent_kernel.each import OF_THE_ENGINE, each

OF_ONE_ROW: list[type[Exception]] = [
    errors.SandboxError,
    errors.SandboxGone,
    errors.SandboxUnreachable,
    errors.ChannelBroken,
    errors.SandboxFileError,
    OSError,
    RecursionError,
    UnicodeDecodeError,
    KeyError,
    TypeError,
]


def make(kind: type[Exception]) -> Exception:
    return UnicodeDecodeError("utf-8", b"\xff", 0, 1, "no") if kind is UnicodeDecodeError else kind("broken")


@dataclass
class Thing:
    id: str
    fails: type[Exception] | None
    written_off: type[Exception] | None = None


broken = st.none() | st.sampled_from(OF_ONE_ROW)
things = st.lists(st.builds(Thing, st.text(min_size=1, max_size=8), broken, broken), max_size=12)


@given(things)
def test_every_thing_is_handled(rows: list[Thing]) -> None:
    handled, written_off = [], []

    async def step(row: Thing) -> None:
        if row.fails is not None:
            raise make(row.fails)
        handled.append(row)

    async def write_off(row: Thing) -> None:
        written_off.append(row)
        if row.written_off is not None:
            raise make(row.written_off)

    failures = asyncio.run(each(rows, step, write_off))
    assert handled == [row for row in rows if row.fails is None]
    assert written_off == [row for row in rows if row.fails is not None]
    expected = [
        kind for row in rows if row.fails for kind in (row.fails, row.written_off) if kind is not None
    ]
    assert [type(failure) for failure in failures] == expected


@pytest.mark.parametrize("kind", [*OF_THE_ENGINE, errors.ConfigurationError, errors.InvalidRequest])
async def test_errors_of_the_engine_end_the_loop(kind: type[errors.AgentKernelError]) -> None:
    handled = []

    async def step(row: Thing) -> None:
        if row.id == "b":
            raise kind("not there")
        handled.append(row.id)

    with pytest.raises(kind):
        await each([Thing(name, None) for name in "abc"], step)
    assert handled == ["a"]


async def test_cancellation_ends_the_loop() -> None:
    async def step(row: Thing) -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await each([Thing("a", None)], step)
