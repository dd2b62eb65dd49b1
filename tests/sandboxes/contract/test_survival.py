"""What a command does to boxd's files, pipes and limits, and what remains of the sandbox."""

from __future__ import annotations

import pytest

from agent_kernel.errors import SandboxError
from agent_kernel.sandboxes.base import Backend
from agent_kernel.sandboxes.calls import read_outcome
from agent_kernel.sandboxes.channel import Channel, Exited
from tests.conftest import BUBBLEWRAP, RUNC, Missing, without_gvisor
from tests.sandboxes.inside import Sandbox, started
from tests.sandboxes.shared import SHARED


@pytest.mark.slow_on_gvisor
@pytest.mark.parametrize(
    "command", ["rm -rf /run/* 2>/dev/null", "rm -rf /run/boxd", "mv /run/boxd /run/away"]
)
async def test_sandbox_survives_removal_of_its_files(run: Sandbox, command: str) -> None:
    await run("X=1")
    assert (await run(f"{command}; (exit 6)")).code == 6
    done = await run("echo $X; echo err >&2; exit 3")
    assert (done.code, done.stdout, done.stderr) == (3, b"1\n", b"err\n")
    other = await Channel.open(await run.backend.stream(run.ref))  # under Docker by a socket that was removed
    try:
        assert await other.commands() is not None
    finally:
        await other.aclose()


@pytest.mark.slow_on_gvisor
@SHARED
@pytest.mark.parametrize(
    "forged",
    ["0", "12345678901234567890", "-1", "end 0", "0123456789abcdef end 0", "$(seq 3000)"],
    ids=["code", "long", "negative", "end", "nonce", "many"],
)
async def test_forged_reports_change_no_exit_code(shared_run: Sandbox, forged: str) -> None:
    await shared_run(f'(while :; do echo "{forged}" >/run/boxd/status; sleep 0.01; done) & sleep 0.1')
    for code in (0, 7, 255):
        assert (await shared_run(f"sleep 0.05; (exit {code})")).outcome == Exited(code)


CUT = """python3 - <<'END' >/dev/null 2>&1 & sleep 0.2
import os, time
lines = b"".join(b"%d\\n" % number for number in range(9000))[:16384]
while True:
    pipe = os.open("/run/boxd/status", os.O_WRONLY)
    for place in range(0, len(lines), 4096): os.write(pipe, lines[place : place + 4096])
    os.write(pipe, b"1")
    os.close(pipe)
    time.sleep(0.0005)
END"""
STOLEN = "for n in 1 2 3; do head -c 1 /run/boxd/status; done >/dev/null 2>&1 & sleep 0.1"


@pytest.mark.slow_on_gvisor
@SHARED
@pytest.mark.parametrize("writes", [CUT, STOLEN], ids=["cut", "stolen"])
async def test_disturbed_reports_change_no_exit_code(shared_run: Sandbox, writes: str) -> None:
    """A report follows half a line of another process, or another process reads it."""
    await shared_run(writes)
    for code in (255, 7, 0, 1, 254, 6):
        assert (await shared_run(f"X=$((X + 1)); (exit {code})")).outcome == Exited(code)
    assert (await shared_run("echo $X $?")).stdout == b"6 0\n"


@pytest.mark.parametrize("code", [256, -1, 10**30, True, "0", None, 1.0])
def test_exit_codes_out_of_range_are_refused(code: object) -> None:
    with pytest.raises(SandboxError):
        read_outcome({"exit_code": code})


async def test_full_run_folder_prints_nothing_of_boxd(run: Sandbox) -> None:
    folder = "/run/boxd" if run.backend.name == "kubernetes" else "/run"  # where boxd's files are mounted
    full = f"{folder}/full"
    done = await run(f"head -c 1G /dev/zero >{full} 2>/dev/null; echo on")
    assert (done.code, done.stdout, done.stderr) == (0, b"on\n", b"")
    done = await run("echo err >&2; exit 3")
    assert (done.code, done.stdout, done.stderr) == (3, b"", b"err\n")
    assert (await run(f"rm {full}; X=1")).code == 0
    assert (await run("echo $X")).stdout == b"1\n"


async def test_limits_reached_and_survived_are_said(backend: Backend, missing: Missing) -> None:
    can = backend.capabilities()
    if not (can.memory_limit and can.process_limit):
        missing("This user cannot create control groups with memory and pids limits.")
    if not can.survives_out_of_memory:  # its kernel has no counters either
        return
    async with started(backend, memory=256 << 20, pids=60) as run:
        eat = "python3 -c 'x = bytearray(1 << 30)' || true"
        assert (await run(eat)).outcome == Exited(0, ("out of memory: limit 256 MiB",))
        code = 'import subprocess as s\nfor _ in range(90):\n s.Popen(["sleep", "3"])'
        done = await run(f"python3 -c '{code}' || true")
        assert done.outcome == Exited(0, ("too many processes: limit 60",))
        assert (await run("true")).outcome == Exited(0)


OWN = "import resource as r; r.setrlimit(r.RLIMIT_"
LOWERED = [
    ("ulimit -n 20", 'x = [open("/dev/null") for _ in range(99)]', "too many open files: limit 20"),
    ("ulimit -v 1000000", "bytearray(1 << 30)", "out of memory: limit 1000000 KiB per process"),
    ("ulimit -v 1000000", "raise MemoryError", "out of memory: limit 1000000 KiB per process"),
    ("true", f"{OWN}NOFILE, (20, 20))\nx = [open('/dev/null') for _ in range(99)]", "too many open files"),
    ("true", f"{OWN}AS, (1 << 28, 1 << 28))\nbytearray(1 << 30)", "out of memory"),
    ("true", f"{OWN}NPROC, (1, 1))\nraise OSError(11, __import__('os').strerror(11))", "too many processes"),
    (
        "ulimit -u 77",
        "raise BlockingIOError(11, __import__('os').strerror(11))",
        "too many processes: limit 77",
    ),
    ("false", 'raise OSError(27, __import__("os").strerror(27))', "file too large"),
]


@SHARED
@pytest.mark.parametrize(("limit", "code", "words"), LOWERED)
async def test_limits_that_a_command_sets_are_said(
    shared_run: Sandbox, limit: str, code: str, words: str
) -> None:
    await shared_run(limit)
    assert (await shared_run(f"python3 - <<'END' || true\n{code}\nEND")).outcome == Exited(0, (words,))


LIMITS = [
    "RLIMIT_NOFILE, (3, 3)",
    "RLIMIT_FSIZE, (1, 1)",
    "RLIMIT_AS, (1 << 20, 1 << 20)",
    "RLIMIT_NPROC, (1, 1)",
]


@pytest.mark.parametrize("limit", LIMITS)
async def test_sandbox_works_or_is_gone_after_limits_on_boxd(run: Sandbox, limit: str) -> None:
    """A limit that ends boxd's work ends the sandbox: it does not stay running and useless."""
    code = f"import resource; resource.prlimit(1, resource.{limit})"
    try:
        for command in (f"python3 -c '{code}' 2>/dev/null; true", "true", "exit 3", "true", "true"):
            assert (await run(command, timeout=10)).code in (0, 3)
    except SandboxError:
        with pytest.raises(SandboxError):
            await Channel.open(await run.backend.stream(run.ref))


@SHARED
@pytest.mark.parametrize("shared_sandbox", [RUNC, BUBBLEWRAP], indirect=True)
@pytest.mark.parametrize("name", ["NOFILE", "FSIZE", "AS", "DATA", "STACK", "NPROC", "CPU"])
async def test_limits_set_on_boxd_are_undone_and_said(shared_run: Sandbox, name: str) -> None:
    low = {"NOFILE": 3, "AS": 1 << 20, "CPU": 3600}.get(name, 1)
    code = f"import resource as r; n = r.RLIMIT_{name}; r.prlimit(1, n, ({low}, r.prlimit(1, n)[1]))"
    words = f"a limit that was set on the sandbox's process 1 was undone: RLIMIT_{name}"
    assert (await shared_run(f"python3 -c '{code}'")).outcome == Exited(0, (words,))
    assert (await shared_run("exit 3")).outcome == Exited(3)  # the next shell is a new process
    assert (await shared_run("ulimit -Sn; echo x >/tmp/file")).outcome == Exited(0)


@without_gvisor
async def test_hard_limit_set_on_boxd_is_said(run: Sandbox) -> None:
    code = "import resource as r; r.prlimit(1, r.RLIMIT_FSIZE, (1 << 20, 1 << 20))"
    outcome = (await run(f"python3 -c '{code}'")).outcome
    assert isinstance(outcome, Exited)
    assert "cannot be undone: RLIMIT_FSIZE = 1048576; if commands fail" in outcome.reached[0]
    assert (await run("true")).outcome == Exited(0)  # said once


@pytest.mark.slow_on_gvisor
@SHARED
@pytest.mark.parametrize(
    "command",
    ["vi /tmp/file", "vim a b", "nano", "view x; (exit 1)", 'sh -c "$EDITOR"', "vi +3 a", "vim -R a", "vi -"],
)
async def test_editor_says_at_once_that_there_is_no_terminal(shared_run: Sandbox, command: str) -> None:
    done = await shared_run(command, timeout=10)
    assert done.code == 1
    assert b"terminal" in done.stderr
    assert b"python3" in done.stderr
    assert (await shared_run("nano() { echo mine; }; nano")).stdout == b"mine\n"
