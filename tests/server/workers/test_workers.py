"""A server of several processes: each serves all turns, and they begin, are replaced and end together."""

from __future__ import annotations

import os
import re
import select
import signal
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from agent_kernel.cli import FAILED
from tests import forked

SCRIPT = Path(__file__).parents[1] / "acceptance.yaml"
FLAGS = ("--workers", "2", "--model", f"scripted/{SCRIPT}", "--sandbox", "bubblewrap")
SHELL = {"type": "shell", "environment": {"type": "container_auto"}}
CONNECTIONS = 64
"""The most that are opened until both workers have one: each is given to one of them by chance."""


class Workers:
    """A server of two processes. `log` is its stderr."""

    def __init__(self, environment: dict[str, str]) -> None:
        read, write = os.pipe()
        self.log = os.fdopen(read)
        try:
            self.process, self.url = forked.serve(*FLAGS, environment=environment, stderr=write)
        finally:
            os.close(write)

    def pids(self) -> list[int]:
        pid = self.process.pid
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def replaced(self) -> None:
        """Wait until the server says that one of its processes has ended."""
        assert any("Another takes its place" in line for line in self.log)

    def answers(self, times: int = 8) -> None:
        """Ask over new connections."""
        for _ in range(times):
            asked = httpx.post(f"{self.url}/responses", json={"input": "chat"}, timeout=60)
            assert asked.json()["status"] == "completed"


@pytest.fixture
def server(own_environment: dict[str, str], bubblewrap_backend: object) -> Iterator[Workers]:
    found = Workers(own_environment)
    yield found
    found.process.terminate()
    found.process.wait()
    found.log.close()


def owner(pids: list[int], here: int, there: int) -> int:
    """Return which process holds the connection to the server's port `here` from the client's port."""
    ends = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    ports = (f":{here:04X}", f":{there:04X}")
    (inode,) = [each[9] for each in ends if (each[1][-5:], each[2][-5:]) == ports]
    for pid in pids:
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            if os.readlink(descriptor) == f"socket:[{inode}]":
                return pid
    raise AssertionError("no worker has this connection")


def one_each(server: Workers, stack: ExitStack) -> Mapping[int, httpx.Client]:
    """Return a client with an open connection to each worker."""
    clients: dict[int, httpx.Client] = {}
    pids = server.pids()
    for _ in range(CONNECTIONS):
        client = stack.enter_context(httpx.Client(base_url=server.url, timeout=60))
        with client.stream("GET", "models") as answer:
            there = answer.extensions["network_stream"].get_extra_info("client_addr")[1]
            clients.setdefault(owner(pids, answer.url.port or 0, there), client)
            answer.read()
        if len(clients) == len(pids):
            break
    assert set(clients) == set(pids)
    return clients


def until(client: httpx.Client, response_id: str, wanted: str) -> str:
    """Follow a turn to the first event with this text in its data."""
    with client.stream("GET", f"responses/{response_id}", params={"stream": "true"}) as events:
        return next(line for line in events.iter_lines() if re.match(rf"data: .*{wanted}", line))


@pytest.mark.bubblewrap
def test_a_turn_is_followed_and_cancelled_by_the_other(server: Workers) -> None:
    with ExitStack() as stack:
        first, second = one_each(server, stack).values()
        request: dict[str, Any] = {"input": "wait", "tools": [SHELL], "background": True}
        begun = first.post("responses", json=request).json()["id"]
        until(second, begun, '"shell_call_output"')
        assert second.get(f"responses/{begun}").json()["status"] in ("queued", "in_progress")
        assert second.post(f"responses/{begun}/cancel").json()["status"] == "cancelled"
        ended = first.get(f"responses/{begun}").json()
        assert ended["status"] == "cancelled"
        container = ended["tools"][0]["environment"]["container_id"]
        asked = {"input": "make a file", "tools": [SHELL], "previous_response_id": begun}
        assert second.post("responses", json=asked).json()["status"] == "completed"
        assert first.delete(f"containers/{container}").is_success


@pytest.mark.bubblewrap
def test_killed_workers_are_replaced(server: Workers) -> None:
    for pid in server.pids():  # the second is missed only once the first is replaced
        os.kill(pid, signal.SIGKILL)
        server.replaced()
        server.answers()


@pytest.mark.bubblewrap
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_workers_end_with_the_server(server: Workers, number: int) -> None:
    watched = [os.pidfd_open(pid) for pid in server.pids()]
    server.process.send_signal(number)
    server.process.wait()
    for pidfd in watched:
        assert select.select([pidfd], [], [], 60)[0]
        os.close(pidfd)
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{server.url}/models")


def test_a_wrong_setting_is_said_once(own_environment: dict[str, str]) -> None:
    read, write = os.pipe()
    words = ("serve", "--workers", "2", "--port", "0", "--host", "0.0.0.0")
    process = forked.Forked(*words, environment=own_environment, stderr=write)
    os.close(write)
    with os.fdopen(read) as log:
        assert process.wait() == FAILED
        assert log.read().count("Without an API key") == 1
