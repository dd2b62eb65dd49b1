"""What nothing can beat: the same work with nothing of anybody's in between."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.sandboxes.contenders import IMAGE, CannotError, Contender, DockerCli, new_name, program

BASH = ["bash", "--norc", "--noprofile"]


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
