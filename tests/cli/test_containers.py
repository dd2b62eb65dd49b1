"""`agent-kernel containers` on real sandboxes, called as a person calls it; a terminal through tmux."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent_kernel.sandboxes.toolbox import Toolbox
from tests.cli.command import call, start
from tests.conftest import environment_in
from tests.forked import Forked, serve

Environment = dict[str, str]

OWNER = """
import asyncio, os, sys
from agent_kernel import config
from agent_kernel.cli import compose
from agent_kernel.runtime.containers.containers import LocalContainers

async def main():
    settings = config.load()
    store = compose.store(settings).rows
    containers = LocalContainers.of_all(
        compose.backend_source(settings), store, compose.container_settings(settings, lease=600)
    )
    container = (await containers.create({"name": "mine"})).id
    async with containers.use(container, to_run=True) as channel:
        async for _ in channel.run("echo content >file; X=kept"): pass
    print(container, flush=True)
    for line in sys.stdin:  # the owner goes on while others come and go
        async with containers.use(container, to_run=True) as channel:
            async for event in channel.run(line):
                if hasattr(event, "data"): print(event.data.decode(), end="", flush=True)
    await containers.delete(container)
    await containers.aclose()
    await store.aclose()
asyncio.run(main())
"""


def done(*words: str, environment: Environment) -> str:
    result = call("containers", *words, environment=environment)
    assert result.returncode == 0, result.stderr
    return result.stdout


@contextmanager
def clean(environment: Environment) -> Iterator[Environment]:
    """Remove at the end what is in the data folder; nothing may be left there."""
    yield environment
    done("rm", "--all", environment=environment)
    done("prune", "--all", environment=environment)
    assert done("snapshots", environment=environment) == "No checkpoints.\n"


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("docker", marks=pytest.mark.docker),
        pytest.param("bubblewrap", marks=pytest.mark.bubblewrap),
    ],
)
def environment(
    request: pytest.FixtureRequest, toolbox: Toolbox, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Environment]:
    """A data folder on each backend. A test deletes what it makes in it."""
    if request.param == "docker":
        request.getfixturevalue("docker_engine")
    own = environment_in(tmp_path_factory.mktemp(request.param), toolbox)
    with clean({**own, "AGENT_KERNEL_SANDBOX": request.param}) as environment:
        yield environment


@pytest.fixture
def fresh_environment(environment: Environment, own_environment: Environment) -> Iterator[Environment]:
    """A data folder of one test, on the same backend."""
    with clean({**own_environment, "AGENT_KERNEL_SANDBOX": environment["AGENT_KERNEL_SANDBOX"]}) as fresh:
        yield fresh


def audit_of(environment: Environment) -> list[str]:
    """The lines of the audit log; without a log there are none."""
    path = Path(environment["AGENT_KERNEL_DATA_DIR"]) / "audit.jsonl"
    return path.read_text().splitlines() if path.exists() else []


class Owner:
    """Another process, which has made a container and uses it."""

    def __init__(self, environment: Environment) -> None:
        self.process = Forked("-c", OWNER, environment=environment, stderr=2)
        self.stdin, self.stdout = self.process.stdin, self.process.stdout
        self.container = self.stdout.readline().strip()
        assert self.container.startswith("cntr_")

    def run(self, command: str) -> str:
        self.stdin.write(command + "\n")
        self.stdin.flush()
        return self.stdout.readline()


@pytest.fixture(scope="module")
def owner(environment: Environment) -> Iterator[Owner]:
    owner = Owner(environment)
    yield owner
    owner.stdin.close()
    assert owner.process.wait(30) == 0


@pytest.mark.shown_on("bubblewrap")
def test_checkpoints_beside_the_owner(owner: Owner, environment: Environment) -> None:
    taken = start("containers", "checkpoint", owner.container, environment=environment)
    assert taken.returncode == 0, taken.stderr
    snapshot = taken.stdout.split()[0]
    assert owner.run("echo changed >other; echo $X on") == "kept on\n"
    restored = done("restore", snapshot, environment=environment).strip()
    fork = done("fork", owner.container, environment=environment).strip()
    assert len({owner.container, restored, fork}) == 3
    listed = json.loads(done("snapshots", "--json", environment=environment))
    assert [(each["container"], each["kind"], each["name"]) for each in listed] == [
        (owner.container, "explicit", "mine")  # a fork leaves none
    ]
    assert listed[0]["id"] == snapshot
    assert listed[0]["size"] > 0
    table = done("snapshots", environment=environment)
    assert snapshot in table
    assert "Together: " in table
    containers = json.loads(done("list", "--json", environment=environment))
    assert {each["id"] for each in containers} == {owner.container, restored, fork}
    assert done("prune", environment=environment) == "0 checkpoints removed.\n"
    done("rm", restored, fork, environment=environment)
    assert done("prune", snapshot, environment=environment) == "1 checkpoint removed.\n"
    events = [json.loads(line)["event"] for line in audit_of(environment)]
    assert events.count("checkpoint") == 2
    assert events.count("delete") == 2


@pytest.mark.shown_on("bubblewrap")
def test_what_is_unknown_is_explained(environment: Environment) -> None:
    for words in (["checkpoint", "cntr_x"], ["fork", "cntr_x"], ["restore", "snap_x"], ["prune", "snap_x"]):
        result = call("containers", *words, environment=environment)
        assert result.returncode == 2
        assert words[1] in result.stderr
        assert len(result.stderr.strip().splitlines()) == 2


@pytest.mark.bubblewrap
def test_attach_needs_a_terminal(own_environment: Environment) -> None:
    environment = {**own_environment, "AGENT_KERNEL_SANDBOX": "bubblewrap"}
    result = start("containers", "attach", "cntr_x", environment=environment)
    assert result.returncode == 2
    assert "needs a terminal" in result.stderr


@pytest.mark.shown_on("bubblewrap")
def test_a_server_keeps_containers_ready_from_its_start_to_its_end(
    fresh_environment: Environment,
) -> None:
    server, _ = serve("--warm", "2", environment=fresh_environment, stderr=2)
    deadline = time.monotonic() + 60
    while len(json.loads(done("list", "--json", environment=fresh_environment))) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    server.terminate()
    assert server.wait(30) in (0, -signal.SIGTERM)  # uvicorn ends by the signal, in order
    assert json.loads(done("list", "--json", environment=fresh_environment)) == []


@pytest.mark.shown_on("bubblewrap")
def test_what_is_off_is_not_written(owner: Owner, environment: Environment) -> None:
    before = audit_of(environment)
    quiet = {**environment, "AGENT_KERNEL_AUDIT": "off"}
    done("rm", done("fork", owner.container, environment=quiet).strip(), environment=quiet)
    done("prune", "--all", environment=quiet)
    assert audit_of(environment) == before


class Tmux:
    """A terminal window that a test types into and looks at."""

    def __init__(self, folder: Path, command: str, environment: Environment) -> None:
        self._socket = str(folder / "tmux")
        self("new-session", "-d", "-x", "100", "-y", "30", command, environment=environment)

    def __call__(self, *words: str, environment: Environment | None = None) -> str:
        command = ["tmux", "-f", "/dev/null", "-S", self._socket, *words]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=20).stdout

    def type(self, *keys: str) -> None:
        self("send-keys", *keys)

    def shows(self, words: str) -> None:
        deadline = time.monotonic() + 30
        while words not in (screen := self("capture-pane", "-p")):
            assert time.monotonic() < deadline, screen
            time.sleep(0.05)


@pytest.fixture
def window(
    owner: Owner, environment: Environment, tmp_path: Path, missing: Callable[[str], None]
) -> Iterator[Tmux]:
    if shutil.which("tmux") is None:
        missing("tmux is not installed: apt-get install tmux")
    command = f"{sys.executable} -m agent_kernel containers attach {owner.container}; echo left with $?; cat"
    tmux = Tmux(tmp_path, command, environment)
    tmux.shows("Attached to")
    yield tmux
    tmux("kill-server")


def test_a_terminal_beside_the_owner(window: Tmux, owner: Owner) -> None:
    window.type("cat file; tty; stty size", "Enter")
    window.shows("content")
    window.shows("30 100")
    assert owner.run("echo $X on") == "kept on\n"
    window("resize-window", "-x", "80", "-y", "20")
    window.type(
        "C-l", "until [ $(stty size | tr ' ' x) = 20x80 ]; do sleep 0.1; done; echo re''sized", "Enter"
    )
    window.shows("resized")
    window.type("sleep 1234", "Enter")
    assert owner.run("until pgrep -f 'sleep 123[4]' >/dev/null; do sleep 0.1; done; echo $X") == "kept\n"
    window.type("C-c")  # an interrupt is for the command, not for us
    window.shows("^C")
    window.type("echo interrup''ted", "Enter")
    window.shows("interrupted")
    window.type("exit 7", "Enter")
    window.shows("left with 7")
    assert owner.run("echo $X on") == "kept on\n"


@pytest.mark.shown_on("bubblewrap")
def test_leaving_a_terminal_hangs_up_and_the_container_goes_on(window: Tmux, owner: Owner) -> None:
    window.type("sleep 4321", "Enter")
    assert owner.run("until pgrep -f 'sleep 432[1]' >/dev/null; do sleep 0.1; done; echo $X") == "kept\n"
    window.type("C-]")
    window.shows("left with 0")
    assert owner.run("while pgrep -f 'sleep 432[1]' >/dev/null; do sleep 0.1; done; echo $X") == "kept\n"
