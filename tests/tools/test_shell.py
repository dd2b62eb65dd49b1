from __future__ import annotations

import re
import tracemalloc
from contextlib import aclosing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_kernel.sandboxes.base import WORKSPACE, Backend, SandboxSpec
from agent_kernel.sandboxes.channel import Channel
from agent_kernel.tools.shell.run import (
    LOST,
    Clipped,
    CommandOutput,
    CommandResult,
    Rejoined,
    ShellLimits,
    command_name,
    run_shell_call,
)
from tests.sandboxes.inside import Sandbox, chunks, new_id
from tests.sandboxes.shared import SHARED


@pytest.fixture
def channel(shared_run: Sandbox) -> Channel:
    return shared_run.channel


async def pieces_of(
    channel: Channel, *commands: str, timeout_ms: int | None = None, length: int | None = None
) -> list[CommandOutput | CommandResult]:
    call = run_shell_call(channel, commands, timeout_ms=timeout_ms, max_output_length=length)
    async with aclosing(call):
        return [piece async for piece in call]


async def results_of(
    channel: Channel, *commands: str, timeout_ms: int | None = None, length: int | None = None
) -> list[CommandResult]:
    pieces = await pieces_of(channel, *commands, timeout_ms=timeout_ms, length=length)
    return [piece for piece in pieces if isinstance(piece, CommandResult)]


@SHARED
async def test_commands_run_in_order_and_a_failure_stops_nothing(channel: Channel) -> None:
    results = await results_of(channel, "X=1", "false", "echo $X; echo e >&2", "exit 4")
    assert results == [
        CommandResult(0, "", "", 0),
        CommandResult(1, "", "", 1),
        CommandResult(2, "1\n", "e\n", 0),
        CommandResult(3, "", "", 4),
    ]


@SHARED
async def test_a_timeout_is_per_command_and_keeps_what_was_printed(channel: Channel) -> None:
    first, second = await results_of(channel, "echo a; sleep 60", "echo b", timeout_ms=3000)
    assert first == CommandResult(0, "a\n", "", None)
    assert second == CommandResult(1, "b\n", "", 0)


@SHARED
async def test_pieces_joined_are_the_result(channel: Channel) -> None:
    pieces = await pieces_of(channel, "for i in 1 2 3; do echo $i; echo -$i >&2; done; printf 'no end'")
    *live, result = pieces
    assert isinstance(result, CommandResult)
    assert "".join(p.stdout for p in live) == result.stdout == "1\n2\n3\nno end"
    assert "".join(p.stderr for p in live) == result.stderr == "-1\n-2\n-3\n"


@SHARED
async def test_split_sequences_are_whole_and_invalid_bytes_are_replaced(channel: Channel) -> None:
    command = (
        r"printf '\xc3'; sleep 0.05; printf '\xa9\xf0\x9f'; sleep 0.05; printf '\x98\x80|\xff|\0|\xe2\x82'"
    )
    pieces = await pieces_of(channel, command)
    *live, result = pieces
    assert isinstance(result, CommandResult)
    assert result.stdout == "é😀|\ufffd|\0|\ufffd"
    assert "".join(p.stdout for p in live) == result.stdout


@SHARED
async def test_endless_output_is_bounded_here_too(channel: Channel) -> None:
    tracemalloc.start()
    try:
        pieces = await pieces_of(channel, "yes | head -c 40000000; echo; echo the end", length=2000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    *live, result = pieces
    assert isinstance(result, CommandResult)
    assert result.stdout.endswith("the end\n")
    (path,) = re.findall(r"\[\.\.\. 39998009 characters left out; the log is (/\S+) \.\.\.\]", result.stdout)
    assert len(result.stdout) < 2100
    (log,) = await results_of(channel, f"head -c 4 {path}; tail -n 1 {path}")
    assert log.stdout == "y\ny\nthe end\n"
    shown = "".join(p.stdout for p in live)
    assert len(shown) < 2200
    assert "more than 2000 characters" in shown
    assert peak < 20_000_000


@SHARED
async def test_a_cut_output_that_is_short_has_no_log(channel: Channel) -> None:
    (result,) = await results_of(channel, "printf 12345678; printf abcdefgh >&2", length=4)
    assert result == CommandResult(
        0, "12\n[... 4 characters left out ...]\n78", "ab\n[... 4 characters left out ...]\ngh", 0
    )


@SHARED
@pytest.mark.on_docker
async def test_a_limit_that_was_reached_is_told_in_words(channel: Channel) -> None:
    fill = "printf 'no newline' >&2; head -c 10G /dev/zero >/tmp/full 2>/dev/null; (exit 1)"
    for length, begins in ((None, "no newline\n"), (0, "\n[... 10 characters left out ...]\n")):
        *live, result = await pieces_of(channel, fill, length=length)
        assert isinstance(result, CommandResult)
        assert result.stderr.startswith(begins)
        assert result.stderr.endswith("[no space left in /tmp]\n")
        assert "".join(p.stderr for p in live).endswith("[no space left in /tmp]\n")
    after, gone = await results_of(channel, "rm /tmp/full", "false")
    assert (after.stderr, gone.stderr) == ("", "")


@pytest.mark.docker
async def test_out_of_memory_is_told_in_words(docker_backend: Backend) -> None:
    ref = await docker_backend.create(SandboxSpec(new_id(), memory=256 << 20))
    try:
        channel = await Channel.open(await docker_backend.stream(ref))
        (result,) = await results_of(channel, "python3 -c 'x = bytearray(1 << 30)'")
        await channel.aclose()
    finally:
        await docker_backend.delete(ref)
    assert result.exit_code == 137
    assert result.stderr.endswith("[out of memory: limit 256 MiB]\n")


@SHARED
async def test_a_command_with_nul_is_answered_not_run(channel: Channel) -> None:
    bad, good = await results_of(channel, "echo a\0b", "echo c")
    assert bad.exit_code == 2
    assert "NUL" in bad.stderr
    assert good.stdout == "c\n"


@SHARED
async def test_closing_kills_the_command_and_begins_no_other(channel: Channel) -> None:
    call = run_shell_call(channel, ["echo on; sleep 77", "touch begun"])
    async with aclosing(call):
        async for _ in call:
            break
    (result,) = await results_of(
        channel, "ls; cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -c 'sleep 7[7]'"
    )
    assert result.stdout == "0\n"


@SHARED
async def test_rejoined_call_streams_the_rest_and_keeps_all(shared_run: Sandbox) -> None:
    """A host dies in the second command; another one finishes the call. Nothing runs twice."""
    channel = shared_run.channel
    commands = ["echo a", "echo 1; echo 2 >&2; until [ -e go ]; do sleep 0.01; done; echo 3", "echo b >>log"]
    call = run_shell_call(channel, commands, name="call")
    seen: list[str] = []
    async for piece in call:
        if isinstance(piece, CommandOutput) and piece.command_index == 1:
            seen.append(piece.stdout + piece.stderr)
            if len(seen) == 2:
                break
    host = await Channel.open(await shared_run.backend.stream(shared_run.ref))
    await channel.aclose()
    assert await host.commands() == {command_name("call", 0), command_name("call", 1)}
    await host.put(f"{WORKSPACE}/go", chunks(b""))
    rejoin = {1: Rejoined("watch", "1\n", "2\n"), 2: Rejoined("run")}
    rest = run_shell_call(host, commands, name="call", rejoin=rejoin)
    assert [piece async for piece in rest] == [
        CommandOutput(1, stdout="3\n"),
        CommandResult(1, "1\n3\n", "2\n", 0),
        CommandResult(2, "", "", 0),
    ]
    assert await results_of(host, "cat log") == [CommandResult(0, "b\n", "", 0)]
    await host.aclose()


@SHARED
async def test_rejoined_call_says_what_is_missing(channel: Channel) -> None:
    command = "yes 12345678 | head -c 2000000; echo end"
    async for _ in run_shell_call(channel, [command], name="long"):
        pass
    streamed = "12345678\n" * 3
    rejoin = {0: Rejoined("watch", streamed), 1: Rejoined("lost", "x", "y")}
    rest = run_shell_call(channel, [command, "rm -r x"], max_output_length=100, name="long", rejoin=rejoin)
    results = [piece async for piece in rest if isinstance(piece, CommandResult)]
    assert results[0].stdout.startswith(streamed)
    assert results[0].stdout.endswith("end\n")
    assert re.search(r"up to \d+ bytes of output are missing here", results[0].stderr)
    assert results[1] == CommandResult(1, "x", f"y\n{LOST}\n", 130)


def test_limits_for_what_is_unset_zero_and_too_much() -> None:
    limits = ShellLimits(timeout=120, max_timeout=3600, output_length=50, max_output_length=100)
    assert [limits.timeout_seconds(ms) for ms in (None, 0, -1, 1500, 10**9)] == [120, 120, 120, 1.5, 3600]
    assert [limits.characters(n) for n in (None, -1, 0, 70, 10**9)] == [50, 50, 0, 70, 100]


@given(st.lists(st.binary(max_size=40), max_size=30), st.integers(0, 60))
def test_clipping_keeps_head_and_tail_of_any_bytes(chunks: list[bytes], limit: int) -> None:
    clipped = Clipped(limit)
    shown = "".join([clipped.feed(chunk) for chunk in chunks] + [clipped.feed(b"", final=True)])
    whole = b"".join(chunks).decode("utf-8", "replace")
    if len(whole) <= limit:
        assert clipped.text() == shown == whole
        return
    head, tail = whole[: limit - limit // 2], whole[len(whole) - limit // 2 :]
    left_out = len(whole) - limit
    assert clipped.text() == f"{head}\n[... {left_out} characters left out ...]\n{tail}"
    assert shown.startswith(whole[:limit])
    assert shown[limit:].count("the end is shown when the command is done") == 1
