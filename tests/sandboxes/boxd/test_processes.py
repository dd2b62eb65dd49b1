"""How old a process is: what a command started, and what was there before it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from agent_kernel.sandboxes.boxd.commands import processes


@pytest.fixture(params=["the newest pid is known", "it is not"])
def pids(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """gVisor's /proc/loadavg has zeros only."""
    if request.param == "it is not":
        monkeypatch.setattr(processes, "_last_pid", lambda: 0)


def within_a_tick() -> Iterator[tuple[processes.Process, processes.Moment, processes.Process]]:
    """A process, a moment after it, and a process after that, all within the same 10 ms; again and again."""
    for _ in range(200):
        with ExitStack() as stack:
            before = stack.enter_context(subprocess.Popen(["sleep", "100"]))
            stack.callback(before.kill)
            moment = processes.Moment()
            after = stack.enter_context(subprocess.Popen(["sleep", "100"]))
            stack.callback(after.kill)
            table = processes.table()
            if table[before.pid].started == moment.ticks == table[after.pid].started:
                yield table[before.pid], moment, table[after.pid]


@pytest.mark.usefixtures("pids")
def test_what_was_started_in_the_same_tick_is_told_apart() -> None:
    before, moment, after = next(within_a_tick())
    assert not before.younger_than(moment)
    assert after.younger_than(moment)


def test_a_child_ignores_nothing_that_the_host_was_started_with() -> None:
    code = (
        "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN);"
        "os.execv(sys.executable, [sys.executable, '-c', sys.argv[1]])"
    )
    inner = (
        "import signal; from agent_kernel.sandboxes.boxd.commands import processes;"
        "before = signal.getsignal(signal.SIGHUP); processes.default_signals();"
        "print(before.name, {signal.getsignal(n) for n in signal.valid_signals()} <= {signal.SIG_DFL, None})"
    )
    done = subprocess.run([sys.executable, "-c", code, inner], capture_output=True, text=True, check=True)
    assert done.stdout == "SIG_IGN True\n"
