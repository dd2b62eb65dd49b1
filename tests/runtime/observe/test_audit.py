"""The audit log: what stands in it, who may read it, how it is cut into files, and what it costs."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import stat
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from agent_kernel.errors import ConfigurationError, InvalidRequest, SandboxError
from agent_kernel.runtime.containers.containers import LocalContainers
from agent_kernel.runtime.observe.audit import LONGEST_TEXT, OFF, SOON, TOGETHER, AuditLog
from agent_kernel.sandboxes.base import Backend
from agent_kernel.sandboxes.channel import Channel, FileStat
from agent_kernel.store.rows import Rows
from agent_kernel.tools.shell.call import audited
from agent_kernel.tools.shell.run import CommandOutput, CommandResult, run_shell_call
from tests.conftest import Missing

Make = Callable[..., LocalContainers]
Audited = Callable[..., list[dict[str, Any]]]


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_line_is_one_object_and_for_its_user_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "audit.jsonl"
    log = AuditLog(path)
    log.open()
    log.write("command", container="c", command="a\nb\u2028\x1b[0m\ud800ü", exit_code=None, seconds=1 / 3)
    log.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_bytes().isascii()
    (line,) = lines(path)
    assert line.pop("time").endswith("+00:00")
    assert isinstance(line.pop("pid"), int)
    assert line == {
        "event": "command",
        "container": "c",
        "command": "a\nb\u2028\x1b[0m\ud800ü",
        "seconds": 0.333333,
    }


def test_a_very_long_field_is_cut_and_that_is_said(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.jsonl")
    log.write("command", command="x" * (LONGEST_TEXT + 1))
    (line,) = lines(tmp_path / "audit.jsonl")
    assert len(line["command"]) == LONGEST_TEXT
    assert line["cut"] == ["command"]


def test_it_is_cut_into_files_and_the_oldest_go(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    log = AuditLog(path, limit=1000, kept=2)
    for number in range(100):
        log.write("command", index=number)
    files = sorted(file.name for file in tmp_path.glob("audit.jsonl*"))
    assert files == ["audit.jsonl", "audit.jsonl.1", "audit.jsonl.2", "audit.jsonl.lock"]
    kept = [line["index"] for name in reversed(files[:3]) for line in lines(tmp_path / name)]
    assert kept == list(range(100 - len(kept), 100))
    assert all((tmp_path / name).stat().st_size < 1200 for name in files)


def test_processes_share_a_log_and_lose_no_line(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    code = (
        "import sys; from pathlib import Path; from agent_kernel.runtime.observe.audit import AuditLog\n"
        "log = AuditLog(Path(sys.argv[1]), limit=20_000, kept=50)\n"
        "for n in range(400): log.write('command', who=sys.argv[2], index=n, command='x' * 100)"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, str(path), name]) for name in "abc"]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    read = [line for file in tmp_path.glob("audit.jsonl*") if file.suffix != ".lock" for line in lines(file)]
    assert {(line["who"], line["index"]) for line in read} == {(w, n) for w in "abc" for n in range(400)}


def test_off_writes_nothing(tmp_path: Path) -> None:
    OFF.write("command", command="x")
    OFF.close()
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_an_error_with_the_mend(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="AGENT_KERNEL_AUDIT"):
        AuditLog(tmp_path / "file" / "audit.jsonl").open()
    (tmp_path / "link").symlink_to(tmp_path / "file")
    with pytest.raises(ConfigurationError, match="AGENT_KERNEL_AUDIT"):
        AuditLog(tmp_path / "link").open()


async def test_without_its_log_nothing_is_done(backend: Backend, store: Rows, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    containers = LocalContainers.of_all(backend, store, audit=AuditLog(tmp_path / "file" / "audit.jsonl"))
    with pytest.raises(ConfigurationError, match="AGENT_KERNEL_AUDIT"):
        await containers.create({})
    assert await store.containers() == []
    await containers.aclose()


def test_a_full_disk_later_on_is_said_once_and_stops_nothing(
    caplog: pytest.LogCaptureFixture, missing: Missing
) -> None:
    if not Path("/dev/full").exists():
        missing("There is no /dev/full. Run the tests on Linux.")
    log = AuditLog(Path("/dev/full"))
    with caplog.at_level(logging.ERROR):
        log.write("create")
        log.write("create")
    log.close()
    assert [record.getMessage() for record in caplog.records] == [
        "The audit log /dev/full cannot be written: No space left on device"
    ]


def test_line_is_one_write_to_an_open_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = AuditLog(tmp_path / "audit.jsonl")
    calls: Counter[str] = Counter()
    for name in ("open", "write", "fsync", "close"):
        monkeypatch.setattr(os, name, counting(name, calls))
    for number in range(2000):
        log.write("command", container="cntr_x", response="resp_x", index=number, command="ls -l /mnt/data")
    monkeypatch.undo()
    assert calls == {"open": 1, "write": 2000}


async def test_lines_that_can_wait_are_one_write_and_keep_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "audit.jsonl"
    log = AuditLog(path)
    log.open()
    calls: Counter[str] = Counter()
    monkeypatch.setattr(os, "write", counting("write", calls))
    for number in range(3):
        log.of("alice").write_soon("connection", index=number)
    log.write("command.end", index=3)
    assert [line["index"] for line in lines(path)] == [0, 1, 2, 3]
    assert [line.get("key") for line in lines(path)] == ["alice"] * 3 + [None]
    for number in range(4, 4 + TOGETHER):
        log.write_soon("connection", index=number)
    assert (len(lines(path)), calls["write"]) == (4 + TOGETHER, 2)
    log.write_soon("connection", index=0)
    async with asyncio.timeout(60):
        while calls["write"] < 3:  # noqa: ASYNC110 (nobody is there to tell)
            await asyncio.sleep(SOON)
    log.write_soon("connection", index=1)
    log.close()
    assert [line["index"] for line in lines(path)][-2:] == [0, 1]


def counting(name: str, calls: Counter[str]) -> Callable[..., Any]:
    """Return this function of `os`, counting its calls."""
    function = getattr(os, name)

    def call(*arguments: Any) -> Any:
        calls[name] += 1
        return function(*arguments)

    return call


# Commands


async def pieces(*results: int | None) -> AsyncGenerator[CommandOutput | CommandResult, None]:
    for index, code in enumerate(results):
        yield CommandOutput(index, "out")
        yield CommandResult(index, "out", "", code)


async def test_each_command_is_written_down_before_it_begins_and_at_its_end(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    write = partial(AuditLog(path).write, container="c", response="r")
    called = audited(write, pieces(0, None), ["one", "two"])
    seen = [len(lines(path)) async for _ in called]
    assert seen == [1, 2, 3, 4]
    told = [(line["event"], line["index"], line.get("command"), line.get("outcome")) for line in lines(path)]
    assert told == [
        ("command", 0, "one", None),
        ("command.end", 0, None, "exited"),
        ("command", 1, "two", None),
        ("command.end", 1, None, "timed_out"),
    ]
    assert [line.get("exit_code") for line in lines(path)] == [None, 0, None, None]
    assert {(line["container"], line["response"]) for line in lines(path)} == {("c", "r")}


@pytest.mark.parametrize(("taken", "told"), [(1, ["command", "cancelled"]), (2, ["command", "exited"])])
async def test_a_call_that_is_given_up(taken: int, told: list[str], tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    async with aclosing(audited(AuditLog(path).write, pieces(0, 0), ["one", "two"])) as called:
        for _ in range(taken):
            await anext(called)
    assert [line.get("outcome", line["event"]) for line in lines(path)] == told


async def test_a_lost_sandbox_is_told(tmp_path: Path) -> None:
    async def lost() -> AsyncGenerator[CommandOutput | CommandResult, None]:
        yield CommandOutput(0, "out")
        raise SandboxError("It is gone.")

    path = tmp_path / "audit.jsonl"
    with pytest.raises(SandboxError):
        [_ async for _ in audited(AuditLog(path).write, lost(), ["one", "two"])]
    assert [line.get("outcome", line["event"]) for line in lines(path)] == ["command", "lost"]


async def test_a_real_call(make: Make, audited: Audited, tmp_path: Path) -> None:
    from agent_kernel.tools.shell import call as shell_call

    containers = make()
    container = (await containers.create({"name": "n"})).id
    async with containers.use(container, to_run=True) as channel:
        commands = ["echo on", "exit 3"]
        call = run_shell_call(channel, commands)
        write = partial(containers.audit.write, container=container)
        async for _ in shell_call.audited(write, call, commands):
            pass
    ends = audited("command.end")
    assert [end["exit_code"] for end in ends] == [0, 3]
    assert 0 < ends[0]["seconds"] < 10
    (created,) = audited("create")
    assert (created["container"], created["name"], created["warm"]) == (container, "n", False)


# Files


async def content(*data: bytes) -> AsyncIterator[bytes]:
    for piece in data:
        yield piece


@pytest.mark.on_docker
async def test_files_in_and_out(make: Make, audited: Audited) -> None:
    containers = make()
    container = (await containers.create({})).id
    data = bytes(range(256)) * 1000
    made = await containers.files.create(container, path="d/file", content=content(data[:7], data[7:]))
    async with aclosing(containers.files.content(container, made.id)) as out:
        assert b"".join([piece async for piece in out]) == data
    async with aclosing(containers.files.content(container, made.id)) as out:
        await anext(out)  # a part of it only
    await containers.files.delete(container, made.id)
    digest = hashlib.sha256(data).hexdigest()
    told = [(each["direction"], each["path"], each["size"], each.get("sha256")) for each in audited("file")]
    path = "/mnt/data/d/file"
    assert told == [
        ("in", path, len(data), digest),
        ("out", path, len(data), digest),
        ("out", path, len(data), None),
        ("removed", path, len(data), None),
    ]


async def test_links_that_lead_outside_are_refused_in_words(make: Make) -> None:
    containers = make()
    container = (await containers.create({})).id
    async with containers.use(container, to_run=True) as channel:
        async for _ in channel.run(
            "mkdir /tmp/out in; ln -s /tmp/out out; ln -s in inside; ln -s /tmp/x link"
        ):
            pass
    for path in ("out/file", "link"):
        with pytest.raises(InvalidRequest, match="link that leads out of /mnt/data") as caught:
            await containers.files.create(container, path=path, content=content(b"x"))
        assert caught.value.param == "file"
    made = await containers.files.create(container, path="inside/file", content=content(b"x"))
    assert made.bytes == 1
    async with containers.use(container, to_run=True) as channel:  # between its listing and its reading
        async for _ in channel.run("rm -r in; ln -s /tmp/out in"):
            pass
    assert [file.path for file in (await containers.files.list(container)).data] == []


async def test_what_did_not_arrive_as_it_was_sent_is_removed(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    containers = make()
    container = (await containers.create({})).id
    put = Channel.put

    async def spoilt(channel: Channel, path: str, data: AsyncIterator[bytes], **how: Any) -> FileStat:
        async def changed() -> AsyncIterator[bytes]:
            async for piece in data:
                yield piece.replace(b"a", b"b")

        return await put(channel, path, changed(), **how)

    monkeypatch.setattr(Channel, "put", spoilt)
    with pytest.raises(SandboxError, match="did not arrive as it was sent"):
        await containers.files.create(container, path="file", content=content(b"a"))
    assert (await containers.files.list(container)).data == []


async def test_a_download_that_is_given_up_leaves_the_channel_as_it_was(make: Make) -> None:
    containers = make()
    container = (await containers.create({})).id
    data = b"x" * 5_000_000
    made = await containers.files.create(container, path="file", content=content(data))
    async with aclosing(containers.files.content(container, made.id)) as out:
        await anext(out)
    async with asyncio.timeout(60):
        assert (await containers.files.retrieve(container, made.id)).bytes == len(data)
