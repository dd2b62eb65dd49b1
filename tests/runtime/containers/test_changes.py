"""Changed files are found by a fixed number of calls, without listing the workspace."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from agent_kernel.errors import NotFound
from agent_kernel.kernel.notebook import Notebook
from agent_kernel.kernel.outputs import CellOutputs
from agent_kernel.kernel.settings import KernelSettings
from agent_kernel.kernel.transfer.mentions import attach
from agent_kernel.kernel.written import WrittenFiles
from agent_kernel.runtime.base import Runtime, TracksChanges
from agent_kernel.sandboxes.base import Backend
from agent_kernel.sandboxes.connection import SandboxConnection

pytestmark = pytest.mark.bubblewrap


class Traffic:
    """What goes over the streams to sandboxes: calls by name, and bytes read from them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        self.bytes = 0
        call, decode = SandboxConnection.call, SandboxConnection._read
        traffic = self

        @asynccontextmanager
        async def counted(self: SandboxConnection, method: str, **arguments: Any) -> AsyncIterator[Any]:
            traffic.calls.append(method)
            async with call(self, method, **arguments) as opened:
                yield opened

        async def reading(self: SandboxConnection) -> None:
            stream = self._stream
            read = stream.read

            async def measured(limit: int) -> bytes:
                data = await read(limit)
                traffic.bytes += len(data)
                return data

            stream.read = measured  # type: ignore[method-assign]
            await decode(self)

        monkeypatch.setattr(SandboxConnection, "call", counted)
        monkeypatch.setattr(SandboxConnection, "_read", reading)

    def take(self) -> tuple[list[str], int]:
        """Return what there was since the last call of this."""
        taken = self.calls, self.bytes
        self.calls, self.bytes = [], 0
        return taken


def notebook_on(runtime: Runtime) -> Notebook:
    async def opened() -> Runtime:
        return runtime

    return Notebook(opened, KernelSettings(), logging.getLogger(__name__), attach)


def shown(outputs: list[tuple[str, dict[str, Any]]]) -> str:
    return "\n".join(str(content.get("data", {}).get("text/plain", "")) for _, content in outputs)


async def run(notebook: Notebook, command: str) -> str:
    outputs: list[tuple[str, dict[str, Any]]] = []
    await notebook.shell(command, CellOutputs(lambda kind, content: outputs.append((kind, content))))
    return shown(outputs)


@pytest.mark.shown_on("local", "bubblewrap")
async def test_idle_cell_cost_with_10000_files(
    runtime: Runtime, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 10_000 if backend.name == "bubblewrap" else 3_000  # more takes too long on the others
    traffic = Traffic(monkeypatch)
    notebook = notebook_on(runtime)
    await run(notebook, "true")
    traffic.take()
    await run(notebook, "true")
    few_calls, few_bytes = traffic.take()
    text = await run(notebook, f"mkdir d; for n in $(seq {count}); do echo $n >d/file$n.txt; done")
    assert f"{count - 12:,} more files" in text
    first_calls, _ = traffic.take()
    assert len(first_calls) < 60, "text files that are not tables are read one by one"
    await run(notebook, "true")
    many_calls, many_bytes = traffic.take()
    assert many_calls == few_calls
    assert many_calls.count("changes") == 2
    assert "list" not in many_calls
    assert many_bytes < few_bytes + 200
    assert many_bytes < 2000
    text = await run(notebook, "echo x >d/file7.txt; echo y >new.txt")
    assert "d/file7.txt" in text
    assert "new.txt" in text
    assert "file8" not in text
    assert traffic.take()[1] < 4000


@pytest.mark.shown_on("local", "bubblewrap")
async def test_changes_name_at_most_1000_files_and_count_all(runtime: Runtime) -> None:
    container = await runtime.containers.create({"name": "n"})
    files = runtime.containers.files
    assert isinstance(files, TracksChanges)
    before = await files.changes(container.id)
    assert before is not None
    assert (list(before.files), before.count, before.known) == ([], 0, False)
    notebook = notebook_on(runtime)
    notebook.container.id = container.id
    await run(notebook, "mkdir d; for n in $(seq 1100); do echo $n >d/$n; done")
    changes = await files.changes(container.id, since=before.mark)
    assert changes is not None
    assert (len(changes.files), changes.count, changes.known) == (1000, 1100, True)
    assert [file.path for file in changes.files] == sorted(file.path for file in changes.files)


async def test_forgotten_mark_is_reported(runtime: Runtime) -> None:
    container = await runtime.containers.create({"name": "n"})
    files = runtime.containers.files
    written = await WrittenFiles(files, container.id, "0" * 24).find()
    assert (list(written.files), written.known) == ([], False)


async def test_changes_of_unknown_container(runtime: Runtime) -> None:
    files = runtime.containers.files
    assert isinstance(files, TracksChanges)
    with pytest.raises(NotFound):
        await files.changes("cntr_missing")
