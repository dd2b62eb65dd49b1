"""Turns of a build in this process, with a model that answers at once, on embedded sandboxes."""

from __future__ import annotations

import tempfile
import time
from contextlib import aclosing
from pathlib import Path
from typing import Any

from agent_kernel.cli.compose import backend_source
from agent_kernel.config import load
from agent_kernel.models.catalogue import Models
from agent_kernel.protocol.sse import encode
from benchmarks.speed.programs import either

COMMANDS = 50
SCRIPT = (
    "name: benchmark\nturns:\n  - when: many\n    do:\n"
    + "      - shell: 'true'\n" * COMMANDS
    + "      - say: done\n  - when: one\n    do:\n      - shell: 'true'\n      - say: done\n"
)
SHELL: Any = {"type": "shell", "environment": {"type": "container_auto"}}


class Turns:
    """What can be asked about turns with commands; each method is a question."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._runtime: Any = None
        self._container = ""

    async def command(self) -> dict[str, float]:
        """Milliseconds of a command in a turn of many, and of one given straight to the same sandbox."""
        made = await self._started()
        shell = {"type": "shell", "environment": _reference(self._container)}
        inside = await self._turn("many", shell)
        begun = time.perf_counter()
        for _ in range(COMMANDS):
            async with made.containers.use(self._container, to_run=True) as channel:
                async for _piece in either.run_in(channel, "true"):
                    pass
        straight = time.perf_counter() - begun
        return {"inside_ms": inside / COMMANDS * 1000, "straight_ms": straight / COMMANDS * 1000}

    async def fork(self) -> dict[str, float]:
        """Milliseconds from asking for a copy of a running container to the end of its first command."""
        made = await self._started()
        begun = time.perf_counter()
        copy = await made.containers.fork(self._container)
        async with made.containers.use(copy.id, to_run=True) as channel:
            async for _piece in either.run_in(channel, "true"):
                pass
        spent = (time.perf_counter() - begun) * 1000
        await made.containers.delete(copy.id)
        return {"ms": spent}

    async def _started(self) -> Any:
        if self._runtime is None:
            folder = Path(self._folder.name)
            script = folder / "benchmark.yaml"
            script.write_text(SCRIPT)
            models = Models(upstream_url=None, upstream_key=None, default=f"scripted/{script}")
            self._runtime = either.runtime(models, backend_source(load()), folder, COMMANDS + 1)
            await self._turn("one", SHELL)
        return self._runtime

    async def _turn(self, text: str, shell: Any) -> float:
        """Run a turn, its events encoded as a server would; return its seconds."""
        begun, completed = time.perf_counter(), False
        async with aclosing(self._runtime.respond({"input": text, "tools": [shell]})) as events:
            async for event in events:
                encode(event)
                if event.type == "response.completed":
                    completed = True
                    self._container = self._container or event.response.tools[0].environment.container_id
        assert completed, f"the turn {text!r} did not complete"
        return time.perf_counter() - begun

    async def aclose(self) -> None:
        """Remove its containers."""
        if self._runtime is not None:
            for container in (await self._runtime.containers.list(limit=100)).data:
                await self._runtime.containers.delete(container.id)
            await self._runtime.aclose()
        self._folder.cleanup()


def _reference(container: str) -> dict[str, str]:
    return {"type": "container_reference", "container_id": container}
