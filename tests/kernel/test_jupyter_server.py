"""The tests' own way to start a Jupyter server survives a port that another process takes."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.kernel.jupyter_server import running_server

# Announces a port as Jupyter Server does; the first one finds it taken.
SERVER = """
import pathlib, socket, sys
first = pathlib.Path(sys.argv[1])
listener = socket.socket()
listener.bind(("127.0.0.1", 0))
print(f"http://127.0.0.1:{listener.getsockname()[1]}/", file=sys.stderr, flush=True)
if not first.exists():
    first.touch()
    sys.exit("The port is already in use.")
listener.listen()
listener.accept()
sys.stdin.read()
"""


def command(program: str, folder: Path) -> list[str]:
    return [sys.executable, "-c", program, str(folder / "first")]


def test_server_whose_port_was_taken_is_started_again(tmp_path: Path) -> None:
    with running_server(command(SERVER, tmp_path), os.environ, r":(?P<port>\d+)/") as (server, _):
        assert server.process.poll() is None
        assert (tmp_path / "first").exists()


def test_server_that_ends_otherwise_says_why(tmp_path: Path) -> None:
    broken = SERVER.replace("The port is already in use.", "No such notebook folder.")
    with (
        pytest.raises(AssertionError, match="No such notebook folder"),
        running_server(command(broken, tmp_path), os.environ, r":(?P<port>\d+)/"),
    ):
        pass
