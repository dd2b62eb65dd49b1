"""What a command is, wherever it runs."""

from __future__ import annotations

import asyncio
import signal

import pytest

from agent_kernel.errors import (
    SandboxFileError,
)
from agent_kernel.sandboxes.base import WORKSPACE
from tests.sandboxes.inside import Sandbox
from tests.sandboxes.shared import SHARED, shared_run

pytestmark = SHARED
run = shared_run


async def test_outputs_are_apart_and_exact(run: Sandbox) -> None:
    done = await run("printf 'out\\0\\xff\\n'; printf err >&2; (exit 3)")
    assert (done.stdout, done.stderr, done.code) == (b"out\0\xff\n", b"err", 3)


async def test_starts_in_the_workspace(run: Sandbox) -> None:
    assert (await run("pwd")).stdout.decode().strip() == WORKSPACE


@pytest.mark.slow_on_gvisor
async def test_no_newline_is_added_or_lost(run: Sandbox) -> None:
    assert (await run("printf 'a\\n\\n'")).stdout == b"a\n\n"
    assert (await run("printf a")).stdout == b"a"


async def test_state_stays(run: Sandbox) -> None:
    await run("X=1; export Y='two words'; A=(1 '2 3'); alias hi='echo hi'; cd /tmp; umask 027")
    await run('f() { echo "f $1"; }')
    done = await run('echo "$X $Y ${A[1]} $PWD $(umask)"; f 4\nhi; env | grep ^Y=')
    assert done.stdout == b"1 two words 2 3 /tmp 0027\nf 4\nhi\nY=two words\n"


@pytest.mark.slow_on_gvisor
@pytest.mark.parametrize(
    ("command", "code"),
    [("exit 7", 7), ("exec sh -c 'exit 5'", 5), ("set -e; false; echo no", 1), ("set -u; echo $nope_", 1)],
)
async def test_what_ends_a_shell_ends_only_the_command(run: Sandbox, command: str, code: int) -> None:
    await run("KEPT=yes; cd /tmp; g() { echo g; }")
    done = await run(command)
    assert (done.code, done.stdout) == (code, b"")
    assert (await run("echo $KEPT $PWD; g; false; echo on")).stdout == b"yes /tmp\ng\non\n"


@pytest.mark.slow_on_gvisor
async def test_exit_keeps_what_the_command_had_set(run: Sandbox) -> None:
    await run("cd /tmp; export NEW=1; exit 4")
    assert (await run("echo $NEW $PWD")).stdout == b"1 /tmp\n"


async def test_a_killed_shell_begins_again_where_the_last_command_ended(run: Sandbox) -> None:
    await run("export KEPT=1")
    assert (await run("LOST=1; kill -9 $$")).code == 137
    assert (await run("echo $KEPT$LOST")).stdout == b"1\n"


@pytest.mark.slow_on_gvisor
async def test_twice_in_a_row(run: Sandbox) -> None:
    await run("export KEPT=1")
    await run("kill -9 $$")
    await run("kill -9 $$")
    assert (await run("echo $KEPT")).stdout == b"1\n"


@pytest.mark.slow_on_gvisor
async def test_options_last_for_one_command(run: Sandbox) -> None:
    await run("set -euo pipefail; true")
    assert (await run("false; echo $nope_ on")).stdout == b"on\n"


@pytest.mark.slow_on_gvisor
async def test_an_exit_trap_runs_when_its_command_ends(run: Sandbox) -> None:
    assert (await run("trap 'echo \"it is\" over' EXIT; echo body")).stdout == b"body\nit is over\n"
    assert (await run("echo next")).stdout == b"next\n"


@pytest.mark.slow_on_gvisor
@pytest.mark.parametrize(
    "command", ["echo 'open", 'echo "open', "cat <<E\nopen", "if true; then", "f() {", "echo $((1"]
)
async def test_unterminated_text_does_not_wait(run: Sandbox, command: str) -> None:
    await run(command, timeout=20)
    assert (await run("echo on")).stdout == b"on\n"


async def test_heredocs(run: Sandbox) -> None:
    assert (await run("cat <<'E'\n$HOME `x`\nE")).stdout == b"$HOME `x`\n"
    large = "line of a long document\n" * 20_000
    assert (await run(f"cat <<'E' | wc -c\n{large}E")).stdout.strip() == str(len(large)).encode()


async def test_stdin_is_empty(run: Sandbox) -> None:
    assert (await run("cat; read x; echo $?", timeout=20)).stdout == b"1\n"


@pytest.mark.slow_on_gvisor
async def test_loops_and_returns_of_a_command_are_its_own(run: Sandbox) -> None:
    await run("break; continue; return 3")
    assert (await run("echo on")).stdout == b"on\n"


async def test_a_background_process_does_not_hold_the_command(run: Sandbox) -> None:
    assert (await run("sleep 60 & echo started", timeout=20)).stdout == b"started\n"
    done = await run("kill %1 && wait %1; echo $?; jobs")
    assert done.stdout == b"143\n"


async def test_a_process_that_has_just_begun_can_be_ended(run: Sandbox) -> None:
    ending = "for i in {1..50}; do sleep 60 & kill $! && wait $!; echo $?; done | sort | uniq -c"
    assert (await run(ending, timeout=50)).stdout.split() == [b"50", b"143"]
    caught = await run("sed -n 's/^SigCgt:/0x/p' /proc/$$/status | tr -d '[:space:]'")
    assert not int(caught.stdout or b"0", 16) >> (signal.SIGTERM - 1) & 1


async def test_a_background_process_lives_on_through_other_commands(run: Sandbox) -> None:
    await run("mkfifo pipe; (read line <pipe; echo got $line >answer) &")
    await run("exit 3")
    await run("echo hello >pipe")
    assert (
        await run("until [ -s answer ]; do sleep 0.01; done; cat answer", timeout=20)
    ).stdout == b"got hello\n"


async def test_background_output_goes_to_no_later_command(run: Sandbox) -> None:
    await run("mkfifo go; (read x <go; echo late; touch said) & echo early")
    done = await run("echo >go; until [ -e said ]; do sleep 0.01; done; echo mine", timeout=20)
    assert done.stdout == b"mine\n"


async def test_pipes_end_quietly(run: Sandbox) -> None:
    done = await run("yes | head -n 1", timeout=20)
    assert (done.stdout, done.stderr, done.code) == (b"y\n", b"", 0)


async def test_a_megabyte_of_environment(run: Sandbox) -> None:
    await run("for i in 1 2 3 4 5 6 7 8; do export BIG$i=$(head -c 100000 /dev/zero | tr '\\0' x); done")
    assert (await run("echo ${#BIG8}; env | wc -c | awk '{print ($1 > 800000)}'")).stdout == b"100000\n1\n"


@pytest.mark.slow_on_gvisor
async def test_a_long_line(run: Sandbox) -> None:
    done = await run("head -c 16777216 /dev/zero | tr '\\0' x")
    assert len(done.stdout) == 16 << 20
    assert set(done.stdout) == {ord("x")}


async def test_the_working_directory_may_vanish(run: Sandbox) -> None:
    await run("mkdir /tmp/gone; cd /tmp/gone; rmdir /tmp/gone")
    assert (await run("cd /; pwd")).stdout == b"/\n"
    await run("mkdir /tmp/gone; cd /tmp/gone; rmdir /tmp/gone; exit")
    assert (await run("echo on")).stdout == b"on\n"


@pytest.mark.slow_on_gvisor
async def test_commands_given_together_run_one_after_the_other(run: Sandbox) -> None:
    first, second = await asyncio.gather(run("echo a >x; sleep 0.2; cat x"), run("echo b >x; cat x"))
    assert (first.stdout, second.stdout) == (b"a\n", b"b\n")


@pytest.mark.slow_on_gvisor
async def test_a_nul_is_refused_in_words(run: Sandbox) -> None:
    with pytest.raises(SandboxFileError, match="NUL"):
        await run("echo \0")


@pytest.mark.slow_on_gvisor
async def test_files_of_a_failed_command_are_named(run: Sandbox) -> None:
    """However late the question arrives: the host counts no second here."""
    for number, end in enumerate(("false", "exit 3", "kill -9 $$", "sleep 0.1; false")):
        assert (await run(f"touch {number}; {end}")).code != 0
        found = await run.channel.aftermath(WORKSPACE, 0.0)
        assert found is not None
        assert f"{WORKSPACE}/{number}" in found.changed
    await run("sleep 0.1; false")
    found = await run.channel.aftermath(WORKSPACE, 0.0)
    assert found is not None
    assert found.changes == 0
