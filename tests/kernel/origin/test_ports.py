"""Ports that are open before the kernel is loaded."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import zmq

from agent_kernel.kernel.app import AgentKernelApp
from agent_kernel.kernel.origin.ports import listen
from tests.conftest import CHECKOUT

NAMES = ("shell_port", "iopub_port", "stdin_port", "control_port", "hb_port")


def written(tmp_path: Path, told: Any) -> str:
    file = tmp_path / "connection.json"
    file.write_text(told if isinstance(told, str) else json.dumps(told))
    return str(file)


def free_ports() -> dict[str, int]:
    with_ports = [socket.create_server(("127.0.0.1", 0)) for _ in NAMES]
    found = {name: each.getsockname()[1] for name, each in zip(NAMES, with_ports, strict=True)}
    for each in with_ports:
        each.close()
    return found


def test_a_client_that_came_early_is_served_by_who_takes_the_port(tmp_path: Path) -> None:
    ports = free_ports()
    early = listen(written(tmp_path, {"transport": "tcp", "ip": "127.0.0.1", **ports}))
    context = zmq.Context()
    asking, answering = context.socket(zmq.REQ), context.socket(zmq.REP)
    try:
        asking.setsockopt(zmq.RECONNECT_IVL, -1)  # it connects once, now
        asking.connect(f"tcp://127.0.0.1:{ports['shell_port']}")
        asking.send(b"are you there?")
        answering.setsockopt(zmq.USE_FD, early.take(ports["shell_port"]))  # type: ignore[arg-type]
        answering.bind(f"tcp://127.0.0.1:{ports['shell_port']}")
        assert answering.poll(10_000)
        assert answering.recv() == b"are you there?"
    finally:
        early.close()
        context.destroy(linger=0)


def test_the_kernel_takes_all_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ports = free_ports()
    file = written(tmp_path, {"transport": "tcp", "ip": "127.0.0.1", "key": "", **ports})
    app: Any = AgentKernelApp()  # type: ignore[no-untyped-call]
    app.connection_file = file
    app.open_ports = early = listen(file)
    sockets: list[Any] = []

    def bind_only(context: Any) -> None:
        sockets.append(context.socket(zmq.XPUB))
        app._bind_socket(sockets[0], app.iopub_port)

    monkeypatch.setattr(app, "init_iopub", bind_only)  # without its thread
    monkeypatch.setattr(early, "close", lambda: None)
    app.load_connection_file()
    app.init_poller()
    app.init_sockets()
    try:
        assert [early.take(port) for port in ports.values()] == [None] * len(ports)
        for name in ("shell_port", "iopub_port", "stdin_port", "control_port"):
            assert getattr(app, name) == ports[name]
    finally:
        for each in (*sockets, app.shell_socket, app.stdin_socket, app.control_socket):
            each.close(0)


STARTING = """
import json, os, select, sys, threading, time, zmq
from agent_kernel.kernel.app import AgentKernelApp
file = sys.argv[1]
app = AgentKernelApp()
app.connection_file = file
app.load_connection_file()
app.init_sockets()
thread, held = app.iopub_thread, threading.Event()
def say_that_it_starts():
    held.set()
    assert select.select([thread.socket.FD], [], [], 10)[0]
    time.sleep(0.2)  # the subscription follows the connection, and nothing tells of that without reading it
    told = app.session.msg("status", {"execution_state": "starting"})
    thread._really_send([b"status", *app.session.serialize(told)])
thread.io_loop.add_callback(say_that_it_starts)
held.wait()
client = zmq.Context().socket(zmq.SUB)
client.subscribe(b"")
client.connect(f"tcp://127.0.0.1:{app.iopub_port}")
found = []
while b"status" not in found and client.poll(10_000):
    found += client.recv_multipart()
print([json.loads(part)["msg_type"] for part in found if part.startswith(b'{"msg_id')], flush=True)
os._exit(0)
"""


def test_a_client_that_subscribed_early_is_welcomed_before_all_else(tmp_path: Path) -> None:
    file = written(tmp_path, {"transport": "tcp", "ip": "127.0.0.1", "key": "", **free_ports()})
    words = [sys.executable, "-c", STARTING, file]
    done = subprocess.run(words, cwd=CHECKOUT, capture_output=True, check=True, timeout=60)
    assert done.stdout == b"['iopub_welcome', 'status']\n"


@pytest.mark.parametrize(
    "told",
    [
        "not JSON",
        [],
        {},
        {"transport": "ipc", "ip": "kernel", "shell_port": 1},
        {"transport": "tcp", "ip": "127.0.0.1", "shell_port": 0},
        {"transport": "tcp", "ip": "127.0.0.1", "shell_port": "many"},
        {"transport": "tcp", "ip": "127.0.0.1", "shell_port": 70000},
        {"transport": "tcp", "ip": "256.0.0.1", "shell_port": 1},
    ],
)
def test_what_cannot_be_done_early_is_left_to_ipykernel(tmp_path: Path, told: Any) -> None:
    assert listen(written(tmp_path, told)).take(1) is None
    assert listen(str(tmp_path / "missing")).take(1) is None


def test_a_port_that_is_in_use_is_left_to_ipykernel(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as used:
        port = used.getsockname()[1]
        told = {"transport": "tcp", "ip": "127.0.0.1", "shell_port": port}
        assert listen(written(tmp_path, told)).take(port) is None
