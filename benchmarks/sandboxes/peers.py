"""What others offer for an agent's commands in Docker; each from the extra `benchmarks`, each on our image.

The packages are imported when their contender is made: one that is not installed is reported, not required.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
from pathlib import Path
from typing import Any

from benchmarks.sandboxes.contenders import IMAGE, CannotError, Contender, check, program


class Peer(Contender):
    """A peer's sandbox is a container; it is removed by force, because their own ends take ten seconds."""

    def __init__(self) -> None:
        self._container: str | None = None

    def _refuse(self, snapshot: str | None) -> None:
        if snapshot is not None:
            raise CannotError("no checkpoint")

    async def stop(self) -> None:
        container, self._container = self._container, None
        if container is not None:
            await program("docker", "rm", "--force", "--volumes", container)


class LlmSandbox(Peer):
    """llm-sandbox's `SandboxSession`; its environment set-up (a venv and a pip upgrade) is left out."""

    name = "llm-sandbox"

    def __init__(self) -> None:
        super().__init__()
        self._module = importlib.import_module("llm_sandbox")
        logging.getLogger("llm_sandbox").setLevel(logging.CRITICAL)
        self._session: Any = None

    async def start(self, snapshot: str | None = None) -> None:
        self._refuse(snapshot)
        self._session = self._module.SandboxSession(
            lang="python", image=IMAGE, skip_environment_setup=True, verbose=False
        )
        await asyncio.to_thread(self._session.open)
        self._container = self._session.container.id

    async def run(self, command: str) -> None:
        argument = command if command.isascii() and " " not in command else f"bash -c {command!r}"
        done = await asyncio.to_thread(self._session.execute_command, argument)
        check(done.exit_code, command)

    async def upload(self, source: Path, target: str) -> None:
        await asyncio.to_thread(self._session.copy_to_runtime, str(source), target)


class AutoGen(Peer):
    """AutoGen's `DockerCommandLineCodeExecutor`: a file and an exec per code block."""

    name = "AutoGen"

    def __init__(self) -> None:
        super().__init__()
        executors = importlib.import_module("autogen_ext.code_executors.docker")
        self._core = importlib.import_module("autogen_core")
        self._blocks = importlib.import_module("autogen_core.code_executor")
        self._executor_class = executors.DockerCommandLineCodeExecutor
        self._executor: Any = None

    async def start(self, snapshot: str | None = None) -> None:
        self._refuse(snapshot)
        self._executor = self._executor_class(IMAGE, timeout=600, stop_container=False)
        self._container = self._executor.container_name
        await self._executor.start()

    async def run(self, command: str) -> None:
        block = self._blocks.CodeBlock(code=command, language="bash")
        done = await self._executor.execute_code_blocks([block], self._core.CancellationToken())
        check(done.exit_code, command)

    async def upload(self, source: Path, target: str) -> None:
        raise CannotError("a folder of the host is mounted")

    async def stop(self) -> None:
        await super().stop()
        if self._executor is not None:
            await self._executor.stop()  # its temporary folder


class OpenAIAgents(Peer):
    """openai-agents' `DockerSandboxClient`."""

    name = "openai-agents"

    def __init__(self) -> None:
        super().__init__()
        import docker

        self._module = importlib.import_module("agents.sandbox.sandboxes.docker")
        self._docker = docker.from_env()
        self._client = self._module.DockerSandboxClient(self._docker)
        self._session: Any = None

    async def start(self, snapshot: str | None = None) -> None:
        self._refuse(snapshot)
        options = self._module.DockerSandboxClientOptions(IMAGE)
        self._session = await self._client.create(options=options)
        self._container = self._session.state.container_id
        await self._session.start()

    async def run(self, command: str) -> None:
        done = await self._session.exec(command)
        check(done.exit_code, command)

    async def upload(self, source: Path, target: str) -> None:
        inside = Path(str(self._session.state.manifest.root)) / Path(target).name  # it writes nowhere else
        with source.open("rb") as file:
            await self._session.write(inside, file)

    async def aclose(self) -> None:
        await asyncio.to_thread(self._docker.close)


PEERS: tuple[type[Peer], ...] = (LlmSandbox, AutoGen, OpenAIAgents)
