"""boxd as it is started: its program comes down the stream, or lies there as files."""

from __future__ import annotations

import ast
import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import MAGIC_NUMBER
from pathlib import Path
from types import CodeType, ModuleType

import pytest

from agent_kernel.sandboxes import launch
from agent_kernel.sandboxes.boxd import boot, wire


def streamed(tmp_path: Path) -> list[str]:
    argv = launch.serve_argv(
        python=sys.executable, listen=f"path:{tmp_path / 'socket'}", lease=0.2, streamed=True
    )
    options = json.loads(argv[-1])
    names = ("run", "workspace", "saved", "kept")
    return [*argv[:-1], json.dumps({**options, **{name: str(tmp_path / name) for name in names}})]


@pytest.fixture(params=[MAGIC_NUMBER, b"3.99"], ids=["compiled", "sources"])
def version(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The host's Python has the version of the sandbox's, or another."""
    monkeypatch.setattr(launch, "MAGIC_NUMBER", request.param)
    launch._program.cache_clear()
    yield
    launch._program.cache_clear()


@pytest.mark.usefixtures("version")
def test_a_program_that_came_down_the_stream_serves(tmp_path: Path) -> None:
    with subprocess.Popen(streamed(tmp_path), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(launch.program())
        process.stdin.flush()
        assert process.stdout.read(len(launch.READY)) == launch.READY
        process.stdin.write(wire.hello([]))
        process.stdin.flush()
        header = process.stdout.read(wire.HEADER.size)
        length, kind, channel = wire.HEADER.unpack(header)
        greeting = process.stdout.read(length)
        assert (kind, channel) == (wire.HELLO, 0)
        assert wire.parse_hello(greeting) >= {"run", "put", "get"}
        process.stdin.close()  # no host: the lease ends it
        assert process.wait(30) == 0


def test_a_program_has_each_module_twice() -> None:
    program = launch.program()
    size = int(re.findall(r"\d+", launch.run_program())[0])
    begin = ast.parse(program[:size].decode()).body[-1]
    assert isinstance(begin, ast.Expr)
    assert isinstance(begin.value, ast.Call)
    ends, version = map(ast.literal_eval, begin.value.args[1:])
    parts = program[ends[0] : ends[1]], program[ends[1] :]
    modules, sources = boot.unpacked(*parts, version), boot.unpacked(*parts, b"3.99")
    assert modules.keys() == sources.keys()
    assert all(isinstance(source, str) for source in sources.values())
    for module in modules.values():
        assert isinstance(module, CodeType)
        assert module.co_filename.startswith("boxd/")
    assert str(launch.SOURCE).encode() not in program


@pytest.mark.parametrize("found", [compile("x = 2", "m", "exec"), "x = 2"], ids=["code", "source"])
def test_a_module_is_let_go_when_it_has_run(found: CodeType | str) -> None:
    modules = boot.Modules({"m": found})
    modules.exec_module(module := ModuleType("m"))
    assert vars(module)["x"] == 2
    assert modules.find_spec("m") is None


@pytest.mark.parametrize("part", [b"", launch.program()[:1000]], ids=["nothing", "a part"])
def test_a_program_that_does_not_come_is_not_waited_for(tmp_path: Path, part: bytes) -> None:
    done = subprocess.run(streamed(tmp_path), input=part, capture_output=True, check=False, timeout=30)
    assert done.returncode == 1
    assert done.stderr == b"its program did not arrive\n"


def test_who_attaches_brings_its_program_along(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        listening.listen()
        argv = launch.attach_argv(python=sys.executable, path=str(tmp_path / "socket"))
        with subprocess.Popen(argv, stdin=subprocess.DEVNULL) as process:
            connected, _ = listening.accept()
            with connected:
                _, descriptors, _, _ = socket.recv_fds(connected, 1, 2)
                for descriptor in descriptors:
                    socket.close(descriptor)
            assert process.wait(30) == 0
        assert len(descriptors) == 2
