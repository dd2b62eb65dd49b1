"""`%session`: keep, list, resume, forget and new, and a store that a newer version has migrated."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent_kernel.errors import InvalidRequest
from agent_kernel.kernel.keeping.words import LONGEST_PATH, short_path
from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from agent_kernel.sandboxes.toolbox import Toolbox
from agent_kernel.store.sqlite import migrations
from tests.kernel.keeping.kernels import Machine

pytestmark = pytest.mark.bubblewrap


@pytest.fixture
async def machine(tmp_path: Path, toolbox: Toolbox) -> AsyncIterator[Machine]:
    machine = Machine(tmp_path, lambda folder: BubblewrapBackend(folder, toolbox))
    yield machine
    await machine.clear()


async def test_notebook_is_kept_when_asked_to(machine: Machine) -> None:
    async with machine.kernel(keep=False) as kernel:
        assert "Demo mode" in (await kernel.run("remember"))[0]
        assert await kernel.run("%session list") == [
            "No session is kept. `%session keep` keeps this notebook."
        ]
        assert "is not kept" in (await kernel.run("%session"))[0]
        (said,) = await kernel.run("%session keep the first")
        assert said.startswith("This notebook is kept as `the first`, last just now.")
        assert (await kernel.run("%session"))[0] == said
        await kernel.run("%model scripted/demo")
        await kernel.run("%model --default\n%budget seconds=70")
    async with machine.kernel(keep=False) as kernel:
        back = await kernel.run("what was it")
        assert back[0].startswith("Resumed session `the first`")
        assert back[-1] == "It was blue."
        assert not any("Demo mode" in each for each in back), "the notebook has had that notice"
        assert kernel.notebook.budget == {"seconds": 70.0}
        (listed,) = await kernel.run("%session list")
        assert "the first" in listed
        assert "this notebook" in listed


def test_a_long_path_keeps_its_end() -> None:
    assert short_path("/home/me/n.ipynb") == "/home/me/n.ipynb"
    long = short_path(f"/home/me/{'deep/' * 30}n.ipynb")
    assert len(long) == LONGEST_PATH
    assert long.startswith("/home/me/deep/d…")
    assert long.endswith("/deep/n.ipynb")


async def test_new_session_leaves_the_old_one_as_it_is(machine: Machine) -> None:
    async with machine.kernel(keep=False) as kernel:
        await kernel.run("remember")
        await kernel.run("%session keep one")
        (said,) = await kernel.run("%session new")
        assert "%session resume one goes back to the last one." in said
        assert "unset" in "".join(await kernel.run("!echo ${COLOUR-unset}; ls"))
        with pytest.raises(InvalidRequest, match="is not kept, and would be gone"):
            await kernel.run("%session resume one")
        with pytest.raises(InvalidRequest, match="Name the session"):
            await kernel.run("%session resume")
        await kernel.run("%session new")
        assert len((await kernel.local.containers.list(limit=10)).data) == 1
        assert (await kernel.run("%session resume one"))[0].startswith("Resumed session `one`")
        assert (await kernel.run("what was it"))[-1] == "It was blue."


async def test_kept_session_names_its_cassettes(machine: Machine) -> None:
    cassette = machine.folder / "n.yaml"
    async with machine.kernel() as kernel:
        await kernel.run(f"%record on {cassette}")
        await kernel.run("remember")
        (first,) = await kernel.local.kept_sessions()
    async with machine.kernel() as kernel:
        await kernel.run("what was it")
        (kept,) = await kernel.local.kept_sessions()
        for each in (first, kept):
            found = await kernel.local.kept_session(each.id)
            assert found.state["cassettes"] == [f"{socket.gethostname()}:{cassette}"]
    assert cassette.exists()


async def test_name_that_two_sessions_have_is_not_guessed(machine: Machine) -> None:
    async with machine.kernel(keep=False) as kernel:
        await kernel.run("%session keep same")
        await kernel.run("%session new")
        await kernel.run("%session keep same")
        with pytest.raises(InvalidRequest, match=r"2 kept sessions are called 'same'\. Name one by its id"):
            await kernel.run("%session resume same")
        with pytest.raises(InvalidRequest, match="looks like an id"):
            await kernel.run("%session keep sess_0123")
        with pytest.raises(InvalidRequest, match="No kept session has the name"):
            await kernel.run("%session resume other")


async def test_session_survives_a_migration(monkeypatch: pytest.MonkeyPatch, machine: Machine) -> None:
    async with machine.kernel() as kernel:
        await kernel.run("remember")
    later = "ALTER TABLE sessions ADD COLUMN colour TEXT NOT NULL DEFAULT ''"
    monkeypatch.setattr(migrations, "MIGRATIONS", (*migrations.MIGRATIONS, later))
    async with machine.kernel() as kernel:
        back = await kernel.run("what was it")
        assert "files, packages, shell state, conversation" in back[0]
        assert back[-1] == "It was blue."


async def test_state_of_a_newer_version_leaves_files_and_conversation(machine: Machine) -> None:
    async with machine.kernel(killed=True) as kernel:
        await kernel.run("remember")
        kept = kernel.notebook.kept.session
        assert kept is not None
        rows = kernel.local._rows
        row = await rows.session(kept.id)
        assert row is not None
        await rows.replace_session(
            type(row)(**{**vars(row), "state": '{"version": 9}', "revision": 2}), row.revision
        )
    async with machine.kernel() as kernel:
        back = await kernel.run("what was it")
        assert "files, packages, shell state and conversation are back." in back[0]
        assert "history, branches and settings are left out: a newer agent-kernel has written it." in back[0]
        assert back[-1] == "It was blue."
