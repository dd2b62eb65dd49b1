"""What nothing can beat: the same work with nothing of anybody's in between."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path
from typing import Any

from benchmarks.sandboxes.contenders import IMAGE, CannotError, Contender, DockerCli, new_name, program

BASH = ["bash", "--norc", "--noprofile"]


class BarePipe(Contender):
    """A bash on this machine, fed through a pair of pipes."""

    name = "bare pipe, no sandbox"

    def __init__(self) -> None:
        self._bash: subprocess.Popen[bytes] | None = None

    async def start(self, snapshot: str | None = None) -> None:
        self._bash = await asyncio.to_thread(
            subprocess.Popen, BASH, stdin=subprocess.PIPE, stdout=subprocess.PIPE
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
