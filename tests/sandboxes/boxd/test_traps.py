"""Traps and functions of a command work for later commands as in an ordinary bash."""

from __future__ import annotations

import pytest

from agent_kernel.sandboxes.channel import Exited
from tests.sandboxes.inside import Sandbox
from tests.sandboxes.shared import SHARED, shared_run

pytestmark = [SHARED, pytest.mark.slow_on_gvisor]


run = shared_run


SHADOWS = "; ".join(
    f"function {name} {{ /bin/false; }}"
    for name in (
        "echo",
        "printf",
        "read",
        "eval",
        "trap",
        "exec",
        "kill",
        "cd",
        "unset",
        "command",
        "local",
        "[",
    )
)

TRAPS = [
    ("set -Eeuo pipefail; trap 'echo \"error on line $LINENO\"' ERR", "true", 0, b""),
    ("trap 'echo \"error on line $LINENO\"' ERR", "true\n\nfalse", 1, b"error on line 3\n"),
    ("trap 'echo E' ERR", "false; echo on", 0, b"E\non\n"),
    ("trap 'echo \"a\nb\"' ERR", "true\n(exit 4)", 4, b"a\nb\n"),
    ("trap 'echo \"[$BASH_COMMAND]\"' DEBUG", "true; /bin/true", 0, b"[true]\n[/bin/true]\n"),
    ("set -T; trap 'echo D' DEBUG", "f() { true; }; f", 0, b"D\nD\nD\n"),
    ("trap 'echo R' RETURN", "true", 0, b""),
    ("trap 'exit 9' ERR", "false; echo not reached", 9, b""),
    ("trap 'echo X' EXIT", "true", 0, b""),
    ("trap 'echo got it' USR1", "kill -USR1 $$", 0, b"got it\n"),
]


@pytest.mark.parametrize(("setting", "command", "code", "printed"), TRAPS)
async def test_trap_runs_for_later_commands_only_for_them(
    run: Sandbox, setting: str, command: str, code: int, printed: bytes
) -> None:
    assert (await run(setting)).code == 0
    for _ in range(2 if code != 9 else 1):
        done = await run(command)
        assert (done.code, done.stdout, done.stderr) == (code, printed, b"")


async def test_exit_trap_that_returns_leaves_no_trap_behind(run: Sandbox) -> None:
    await run(
        """n=RR; eval "trap 'echo e >>/tmp/returns' E$n"; g() { echo G; }; trap 'echo bye; return 0' EXIT"""
    )
    for _ in range(2):
        done = await run("false")
        assert (done.code, done.stdout) == (1, b"")
    assert (await run("cat /tmp/returns; rm /tmp/returns; exit 3")).stdout == b"e\ne\n"
    assert (await run("g")).stdout == b"G\n"


async def test_err_trap_runs_once_for_a_failing_last_command(run: Sandbox) -> None:
    await run("trap 'echo failed >>/tmp/failures' ERR")
    assert (await run("false")).code == 1
    assert (await run("true; (exit 3)")).code == 3
    assert (await run("wc -l </tmp/failures")).stdout.strip() == b"2"


async def test_functions_called_like_builtins_stay_the_users(run: Sandbox) -> None:
    done = await run(f"X=1; {SHADOWS}")
    assert done.outcome == Exited(0)
    for _ in range(2):
        assert (await run("/bin/sh -c 'echo out; exit 3'")).code == 3
        assert (await run("echo hi; cd /tmp")).code == 1
    assert (await run("builtin echo $X $PWD")).stdout == b"1 /mnt/data\n"


async def test_function_called_builtin_lasts_for_its_command(run: Sandbox) -> None:
    assert (await run("X=1; builtin() { /bin/echo mine; }; builtin; (exit 6)")).code == 6
    done = await run("echo $X; builtin echo real")
    assert (done.code, done.stdout, done.stderr) == (0, b"1\nreal\n", b"")


@pytest.mark.parametrize(
    "command", ["set -n", "shopt -s extdebug; trap false DEBUG", "set -t", "set -o posix"]
)
async def test_shell_that_runs_nothing_more_is_replaced(run: Sandbox, command: str) -> None:
    await run("X=1")
    assert (await run(command)).code == 0
    done = await run("echo $X; exit 5")
    assert (done.code, done.stdout, done.stderr) == (5, b"1\n", b"")


@pytest.mark.parametrize("signal", ["DEBUG", "ERR", "RETURN", "EXIT"])
async def test_reset_forgets_the_traps(run: Sandbox, signal: str) -> None:
    for _ in range(5):
        await run(f"set -TE; trap 'echo trapped' {signal}; f() {{ false; }}")
        await run.channel.reset()
        assert (await run("f() { false; }; f; false; true")).stdout == b""
