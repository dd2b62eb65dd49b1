"""`agent-kernel session export` and `import`: a session goes on elsewhere, with everything in it."""

from __future__ import annotations

import hashlib
import json
import signal
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from agent_kernel.runtime.kept import KeptSession
from agent_kernel.runtime.local import LocalRuntime
from tests.cli.moving import Environment, cleared, done, in_runtime, kept, other_folder, session, shell
from tests.forked import Forked
from tests.runtime.archive.made import archive, members, written
from tests.runtime.test_contract import run, turn

MADE = [
    "mkdir -p deep private; printf '\\0\\377' >deep/binary; echo x >private/f; chmod 600 private/f;"
    " head -c 400000 /dev/urandom >deep/random",
    "ln -s deep l",
    "touch -- \"$(printf 'no\\377text')\"; ln deep/binary hard; truncate -s 3M sparse; chmod 751 private",
    "PLAIN=1; export LIST='a b'; declare -A map=([k]=v); greet() { echo hello $1; }; cd deep",
]
UPLOADED = {
    "private/f": ["/there/f", 2, [1, 2], hashlib.sha256(b"x\n").hexdigest()],
    "time": ["/there/time", 6, [1, 2], hashlib.sha256(b"early\n").hexdigest()],
}
"""Two uploads: one is there as it was sent, the other was removed since."""
SEEN = """
echo "$PLAIN $LIST ${map[k]} $(greet you) $PWD"; cd ..; cd - >/dev/null
(cd /mnt/data; find . -mindepth 1 -printf '%p %y %m %l %T@\\n' | sort; sha256sum deep/binary hard sparse
stat -c %h hard)
"""


@pytest.fixture
def folders(own_environment: Environment, tmp_path: Path) -> Iterator[dict[str, Environment]]:
    """Two machines by the name of their sandbox; both are empty at the end."""
    found = {name: other_folder(own_environment, tmp_path, name) for name in ("bubblewrap", "docker")}
    yield found
    for environment in found.values():
        if Path(environment["AGENT_KERNEL_DATA_DIR"], "store.sqlite").exists():
            in_runtime(environment, cleared)


@pytest.mark.docker
@pytest.mark.bubblewrap
@pytest.mark.usefixtures("docker_engine")
@pytest.mark.parametrize(
    ("here", "there"),
    [("bubblewrap", "docker"), pytest.param("docker", "bubblewrap", marks=pytest.mark.slow)],
)
def test_session_goes_on_in_another_sandbox(
    folders: dict[str, Environment], tmp_path: Path, here: str, there: str
) -> None:
    before, after = folders[here], folders[there]

    async def make(runtime: LocalRuntime) -> tuple[KeptSession, str]:
        made = await kept(
            runtime, ["Hello!", "And again?"], [*MADE[:-1], "cd deep; PLAIN=0; echo early >time"]
        )
        assert made.container_id is not None
        early = await runtime.containers.snapshot(made.container_id, automatic=True)
        await runtime.containers.snapshot(made.container_id, name="not in the state")
        await run(runtime, f"cd ..; rm deep/time; {MADE[-1]}", made.container_id)
        made = await runtime.keep_session(
            KeptSession(
                made.id, "moved", response_id=made.response_id, container_id=made.container_id, revision=1,
                state={"cells": [{"response": made.response_id, "container": made.container_id,
                                  "point": early.id}],
                       "approval": {"mode": "never"}, "uploads": {"x": ["/etc/passwd"], **UPLOADED},
                       "params": {"mounts": ["a"]}, "said": {"budget": 1, "model": "m"},
                       "foreign": "cntr_" + "0" * 32},
            )
        )  # fmt: skip
        assert made.container_id is not None
        return made, await run(runtime, SEEN, made.container_id)

    made, seen = in_runtime(before, make)
    file = tmp_path / "moved.session"
    said = done("export", made.id, str(file), environment=before)
    assert f"{file}: 2 turns, " in said
    assert [each.name for each in tmp_path.iterdir() if "moved" in each.name] == ["moved.session"]
    assert json.loads(done("show", str(file), "--json", environment=after))["turns"] == 2
    small = tmp_path / "small.session"
    said = done("export", made.id, str(small), "--no-snapshots", environment=before)
    assert "Snapshots (1): cells before them keep their conversation only" in said
    more = file.stat().st_size - small.stat().st_size
    assert 0 < more < 100_000, "a file of 400,000 bytes that the snapshot has too is there once"
    said = done("import", str(file), environment=after)
    assert said.startswith(f"{made.id}: 2 turns, "), "its id is free there, so it stays"

    async def go_on(runtime: LocalRuntime) -> tuple[KeptSession, str, str, str]:
        moved = await runtime.kept_session(made.id)
        assert moved.container_id is not None
        found = await run(runtime, SEEN, moved.container_id)
        again = await turn(
            runtime, "Hello!", previous_response_id=moved.response_id, **shell(moved.container_id)
        )
        chain = await runtime._rows.chain(again.id)
        words = " ".join(row.input[0]["content"][0]["text"] for row in chain)
        await runtime.containers.restore(moved.container_id, moved.state["cells"][0]["point"])
        return moved, found, words, await run(runtime, "cat time; echo $PLAIN $LIST; pwd", moved.container_id)

    moved, found, asked, early = in_runtime(after, go_on)
    assert early == "early\n0\n/mnt/data/deep\n", "the branch opens with what it had"
    assert set(found.split("\n")) ^ set(seen.split("\n")) == set()
    assert seen.startswith("1 a b v hello you /mnt/data/deep\n")
    assert asked == "Hello! And again? Hello!"
    assert moved.name == "moved"
    (cell,) = moved.state["cells"]
    assert (cell["response"], cell["container"]) == (moved.response_id, moved.container_id)
    assert moved.container_id != made.container_id
    rights = [moved.state[name] for name in ("approval", "uploads", "params", "said")]
    known = {"private/f": ["/there/f", 2, [], UPLOADED["private/f"][3]]}
    assert rights == [None, known, {}, {"model": "m"}], "an archive approves nothing here"
    assert said.count("Not taken over: ") == 3
    assert "Not known any more: 2 uploads" in said
    assert moved.state["foreign"] != "cntr_" + "0" * 32, "an archive cannot name others' containers"
    second = done("import", str(file), environment=after)
    assert second.partition(":")[0] not in (made.id, ""), "its id is taken now"
    assert "A session moved is here already; this one is called moved-2." in second
    assert {each["name"] for each in json.loads(done("list", "--json", environment=after))} == {
        "moved", "moved-2"
    }  # fmt: skip


@pytest.mark.bubblewrap
@pytest.mark.parametrize("change", ["cut", "changed", "outside", "later", "none"])
def test_refused_archives_create_nothing(own_environment: Environment, tmp_path: Path, change: str) -> None:
    good = archive()
    content = {
        "cut": good[:-3000],
        "changed": good[:1500] + bytes([good[1500] ^ 1]) + good[1501:],
        "outside": archive(members(b"")),
        "later": archive(version=99),
        "none": b"PK",
    }[change]
    file = written(tmp_path / "bad.session", content)
    found = session("import", str(file), environment=own_environment)
    assert found.returncode == 2
    assert "The archive is refused: " in found.stderr
    assert "Nothing was created." in found.stderr
    assert "Traceback" not in found.stderr
    data = Path(own_environment["AGENT_KERNEL_DATA_DIR"])
    assert {each.name for each in data.iterdir()} == {"toolbox", "boxd"}


@pytest.mark.bubblewrap
def test_secrets_are_listed_and_keys_of_ours_kept_out(
    folders: dict[str, Environment], tmp_path: Path
) -> None:
    key = "sk-installation-0123456789abcdef"
    environment = {
        **folders["bubblewrap"],
        "AGENT_KERNEL_UPSTREAM_KEY": key,
        "AGENT_KERNEL_API_KEY": key[::-1],
    }
    files = [
        "echo A=1 >.env; echo machine x >.netrc; echo ghp_0123456789012345678901234567 >notes.txt",
        "export MY_TOKEN=hunter22; echo plain >plain.txt",
    ]
    made = in_runtime(environment, lambda runtime: kept(runtime, [f"Hello! {key}"], files))
    file = tmp_path / "a.session"
    found = session("export", made.id, str(file), environment=environment)
    assert found.returncode == 2
    for where in (
        "/mnt/data/.env",
        "/mnt/data/.netrc",
        "/mnt/data/notes.txt",
        "the shell's variable MY_TOKEN",
    ):
        assert where in found.stderr
    assert "plain.txt" not in found.stderr
    assert "add --yes" in found.stderr
    assert not [each for each in tmp_path.iterdir() if "a.session" in each.name], "nothing is left"
    done("export", made.id, str(file), "--yes", environment=environment)
    with tarfile.open(file) as tar:
        texts = [tar.extractfile(member).read() for member in tar]  # type: ignore[union-attr]
    assert not [text for text in texts if key.encode() in text or key[::-1].encode() in text]
    assert any(b"Hello! [redacted]" in text for text in texts)

    async def put_key(runtime: LocalRuntime) -> None:
        assert made.container_id is not None
        await run(runtime, f"echo {key} >key.txt", made.container_id)

    in_runtime(environment, put_key)
    found = session("export", made.id, str(file), "--yes", "--force", environment=environment)
    assert found.returncode == 2
    assert "/mnt/data/key.txt holds a key or a password of this installation" in found.stderr
    assert key not in found.stderr


def test_import_for_a_server_says_where_to_run_it(own_environment: Environment, tmp_path: Path) -> None:
    file = written(tmp_path / "a.session", archive())
    environment = {**own_environment, "AGENT_KERNEL_RUNTIME_URL": "http://127.0.0.1:9/v1"}
    found = session("import", str(file), environment=environment)
    assert found.returncode == 2
    assert "http://127.0.0.1:9/v1" in found.stderr
    assert "run this command there" in found.stderr


@pytest.mark.bubblewrap
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_interrupted_export_leaves_no_part_of_a_file(
    folders: dict[str, Environment], tmp_path: Path, number: signal.Signals
) -> None:
    environment, held = folders["bubblewrap"], AsyncExitStack()

    async def make(runtime: LocalRuntime) -> KeptSession:
        made = await kept(runtime, ["Hello!"], ["echo x >file"])
        channel = await held.enter_async_context(runtime.containers.use(made.container_id or "", to_run=True))
        busy = channel.run("echo begun; sleep 600")
        await anext(busy)
        await channel.aclose()  # the command goes on, and the export waits for the shell
        return made

    made = in_runtime(environment, make)
    file = tmp_path / "a.session"
    with tempfile.TemporaryFile("w+") as errors:
        exporting = Forked(
            "session", "export", made.id, str(file), environment=environment, stderr=errors.fileno()
        )
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob(".a.session.*/responses.jsonl")):
            assert exporting.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        exporting.send_signal(number)
        assert exporting.wait() == 130
        errors.seek(0)
        assert "Traceback" not in errors.read()
    assert not [each for each in tmp_path.iterdir() if "a.session" in each.name]
