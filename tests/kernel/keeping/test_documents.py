"""The documents of a kept notebook: the next kernel searches them, on this machine and on a server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from agent_kernel.sandboxes.toolbox import Toolbox
from tests.kernel.keeping.kernels import Machine

pytestmark = pytest.mark.bubblewrap

ASK = "How is the reactor cooled?"


@pytest.fixture(params=[False, True], ids=["local", "server"])
async def machine(request: pytest.FixtureRequest, tmp_path: Path, toolbox: Toolbox) -> AsyncIterator[Machine]:
    machine = Machine(tmp_path, lambda folder: BubblewrapBackend(folder, toolbox), remote=request.param)
    yield machine
    await machine.clear()


def paper(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(f"# Cooling\n\n{text}")
    return str(path)


async def test_next_kernel_searches_the_documents_and_names_lost_ones(
    machine: Machine, tmp_path: Path
) -> None:
    reactor = paper(tmp_path, "reactor.md", "The core is cooled with liquid sodium.")
    wind = paper(tmp_path, "wind.md", "Sailing is about wind.")
    async with machine.kernel(killed=True) as kernel:
        (added,) = await kernel.run(f"%docs add {reactor} {wind}")
        assert "Added 2 documents" in added
    async with machine.kernel() as kernel:
        listed = await kernel.run("%docs")
        assert "documents and the history of 0 cells are back." in listed[0]
        assert "reactor.md" in listed[-1]
        assert "Cited: reactor.md" in (await kernel.run(ASK))[-1]
        lost = next(key for key, name in kernel.notebook.documents.names.items() if name == "wind.md")
    async with machine.kernel(killed=True) as kernel:
        await kernel.local.files.delete(lost)
    async with machine.kernel() as kernel:
        back = await kernel.run(ASK)
        assert "Documents that are not there any more: `wind.md`." in back[0]
        assert "Cited: reactor.md" in back[-1]
        (added,) = await kernel.run(f"%docs add {wind}")
        assert "The agent can search 2 in all" in added


async def test_deleted_library_is_left_out_of_requests(machine: Machine, tmp_path: Path) -> None:
    reactor = paper(tmp_path, "reactor.md", "The core is cooled with liquid sodium.")
    async with machine.kernel() as kernel:
        await kernel.run(f"%docs add {reactor}")
        store_id = kernel.notebook.documents.store_id
        assert store_id is not None
        await kernel.local.vector_stores.delete(store_id)
    async with machine.kernel() as kernel:
        back = await kernel.run("remember")
        assert "Documents that are not there any more: `reactor.md`." in back[0]
        assert kernel.notebook.documents.tools(asks=True) == []
