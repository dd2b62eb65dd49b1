"""What nothing can beat: the same work with nothing of anybody's in between."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agent_kernel.sandboxes.boxd.commands import script
from benchmarks.sandboxes.contenders import IMAGE, CannotError, Contender, DockerCli, new_name, program

BASH = ["bash", "--norc", "--noprofile"]
NONCE = "0" * 12


class BarePipe(Contender):
    """A bash on this machine, fed through a pair of pipes."""

    name = "bare pipe, no sandbox"
    argv: Sequence[str] = BASH

    def __init__(self) -> None:
        self._bash: subprocess.Popen[bytes] | None = None

    async def start(self, snapshot: str | None = None) -> None:
        self._bash = await asyncio.to_thread(
            subprocess.Popen, self.argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    async def run(self, command: str) -> None:
        assert self._bash is not None
        assert self._bash.stdin is not None
        assert self._bash.stdout is not None
        self._bash.stdin.write(command.encode() + b"; echo $?\n")
        self._bash.stdin.flush()
        self._bash.stdout.readline()

    async def stop(self) -> None:
        if self._bash is not None:
            with self._bash:
                self._bash.kill()
        self._bash = None


RELAY = """
import os, select, subprocess
bash = subprocess.Popen(["bash", "--norc", "--noprofile"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
ways = {0: bash.stdin.fileno(), bash.stdout.fileno(): 1}
epoll = select.epoll()
for fd in ways:
    epoll.register(fd, select.EPOLLIN)
while True:
    for fd, _ in epoll.poll():
        if not (piece := os.read(fd, 65536)):
            os._exit(0)
        os.write(ways[fd], piece)
"""
"""Python that does nothing but carry a bash's input and output."""


class RelayedPipe(BarePipe):
    """A bash behind a Python process, as every command in a sandbox is, that only carries bytes."""

    name = "pipe through a relay, no sandbox"
    argv = (sys.executable, "-I", "-S", "-c", RELAY)


class KeptShell(BarePipe):
    """A bash on a pipe that keeps its state from command to command as in a sandbox, and nothing else."""

    name = "bash that keeps its state, no sandbox"

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory(dir="/dev/shm")
        self._number = 0
        self._pipes: list[int] = []
        self._told = b""

    async def start(self, snapshot: str | None = None) -> None:
        await super().start()
        for name in ("out", "err", "status"):
            path = f"{self._folder.name}/{name}"
            os.mkfifo(path)
            self._pipes.append(os.open(path, os.O_RDWR))
        self._say(script.first_line(script.prelude(self._folder.name, signal.SIGRTMIN + 10), 0, NONCE))

    async def run(self, command: str) -> None:
        self._wait(b"saved\n")
        self._number += 1
        self._write(script.command_file(command.encode(), b"", self._folder.name))
        self._say(script.command_line(str(self._number), self._number % 2, NONCE))
        self._wait(b" end ")

    def _write(self, content: bytes) -> None:
        with open(f"{self._folder.name}/command", "wb", 0) as file:
            file.write(content)

    def _say(self, line: str) -> None:
        assert self._bash is not None
        assert self._bash.stdin is not None
        self._bash.stdin.write(line.encode() + b"\n")
        self._bash.stdin.flush()
        self._told = b""

    def _wait(self, words: bytes) -> None:
        while words not in self._told:
            self._told += os.read(self._pipes[-1], 4096)

    async def stop(self) -> None:
        await super().stop()
        while self._pipes:
            os.close(self._pipes.pop())

    async def aclose(self) -> None:
        self._folder.cleanup()


class BarePipeInDocker(DockerCli):
    """A bash in a container, fed through one hijacked `docker exec -i`."""

    name = "bare pipe in Docker"

    def __init__(self) -> None:
        super().__init__()
        import docker

        self._client = docker.from_env()
        self._socket: Any = None

    async def start(self, snapshot: str | None = None) -> None:
        await super().start(snapshot)
        self._socket = await asyncio.to_thread(self._attach)

    def _attach(self) -> Any:
        api = self._client.api
        made = api.exec_create(self._name(), BASH, stdin=True)
        return api.exec_start(made["Id"], socket=True)

    async def run(self, command: str) -> None:
        connection = self._socket._sock  # docker-py hands out a reader around it
        connection.sendall(command.encode() + b"; echo $?\n")
        answer = b""
        while len(answer) < len(b"\1\0\0\0\0\0\0\0020\n"):  # a frame's head, the status, a newline
            answer += connection.recv(100)

    async def stop(self) -> None:
        if self._socket is not None:
            self._socket._sock.close()
            self._socket.close()
        self._socket = None
        await super().stop()

    async def aclose(self) -> None:
        await asyncio.to_thread(self._client.close)


class DockerRun(Contender):
    """`docker run --rm`, from the Enter key to its end."""

    def __init__(self, name: str, *options: str) -> None:
        self.name = name
        self._options = options

    async def start(self, snapshot: str | None = None) -> None:
        return

    async def run(self, command: str) -> None:
        await program("docker", "run", "--rm", "--name", new_name(), *self._options, IMAGE, command)

    async def upload(self, source: Path, target: str) -> None:
        raise CannotError("")

    async def stop(self) -> None:
        return
