"""`%skills`: skills are added, used, listed, removed and deleted, with a runtime here and on a server."""

from __future__ import annotations

import io
import re
import zipfile
from types import SimpleNamespace
from typing import Any

import pytest

from agent_kernel.errors import CapabilityMissing, NotFound
from agent_kernel.kernel.magics.completion import Names, complete
from agent_kernel.kernel.offers.skills import ChosenSkill, NotebookSkills, read_chosen
from tests.kernel.client import Notebook
from tests.kernel.test_remote import remote, reused, server

__all__ = ["remote", "reused", "server"]

MANIFEST = "---\nname: {}\ndescription: Counts words.\n---\n\nRun count.sh.\n"


def zipped(name: str) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("SKILL.md", MANIFEST.format(name))
    return made.getvalue()


def play(notebook: Notebook, name: str) -> None:
    """Add a folder before there is a container, then another version and a zip, and take all away again."""
    folder = notebook.folder / "count words"
    folder.mkdir()
    (folder / "SKILL.md").write_text(MANIFEST.format(name))
    (folder / "count.sh").write_text("#!/bin/sh\nwc -w < $1\n")
    (said,) = notebook.run("%skills add 'count words'").plain
    assert said.startswith(f"Kept `{name}` as version 1.")
    counted = notebook.run(
        f"!echo a b > /tmp/f; /mnt/skills/{name}/count.sh /tmp/f; touch /mnt/skills/{name}/x || echo kept"
    )
    assert counted.plain[-1].startswith("2\nkept\n")
    assert counted.plain[-1].endswith("Read-only file system")
    (folder / "more.txt").write_text("More.")
    (notebook.folder / "z.zip").write_bytes(zipped(f"{name}-zip"))
    (said,) = notebook.run("%skills add 'count words' z.zip").plain
    assert said.splitlines() == [
        f"Kept `{name}` as version 2. It lies in `/mnt/skills/{name}`.  ",
        f"Kept `{name}-zip` as version 1. It lies in `/mnt/skills/{name}-zip`.",
    ]
    assert listed(notebook, name) == [f"{name}-zip 1 yes", f"{name} 2 yes"]
    assert "more.txt" in notebook.run(f"!ls /mnt/skills/{name}").plain[-1]
    assert notebook.run(f"%skills use {name} 1").plain == [
        f"The agent can use `{name}`. It lies in `/mnt/skills/{name}`."
    ]
    assert notebook.run(f"!ls /mnt/skills/{name}").plain[-1].split() == ["SKILL.md", "count.sh"]
    notebook.run("%container --new")
    assert name in notebook.run("!ls /mnt/skills").plain[-1], "another container has them too"
    assert notebook.run(f"%skills remove {name}").plain == [f"This notebook no longer uses `{name}`."]
    assert listed(notebook, name) == [f"{name}-zip 1 yes", f"{name} 2 no"]
    for each in (name, f"{name}-zip"):
        assert notebook.run(f"%skills delete {each}").plain == [f"Deleted `{each}` with all its versions."]
    assert listed(notebook, name) == []
    assert notebook.run("!ls -A /mnt/skills | wc -l").plain[-1] == "0"


def listed(notebook: Notebook, name: str) -> list[str]:
    """The name, version and use of skills whose names begin so."""
    text = notebook.run("%skills").plain[0]
    return [" ".join(found) for found in re.findall(rf"({name}\S*)\W+(\d+)\W+(yes|no)\b", text)]


@pytest.mark.bubblewrap
def test_a_notebook_uses_skills(fresh: Notebook) -> None:
    play(fresh, "counting")
    for line, why in (
        ("%skills use absent", "There is no skill absent."),
        ("%skills remove absent", "does not use a skill absent"),
        ("%skills add nowhere", "There is no file nowhere"),
        ("%skills drop x", "does not know 'drop x'"),
        ("%skills add", "does not know 'add'"),
    ):
        assert why in fresh.run(line).error
    (fresh.folder / "no-skill").mkdir()
    (fresh.folder / "no-skill" / "README.md").write_text("x")
    assert "no file named SKILL.md" in fresh.run("%skills add no-skill").error


@pytest.mark.bubblewrap
def test_a_notebook_uses_skills_of_a_server(remote: Notebook) -> None:
    play(remote, "remotely")


def texts(source: str) -> list[str]:
    names = Names(skills={"counting": "Counts words.", "greeting": "Greets."})
    return [each.text for each in complete(source, len(source), names)[0]]


def test_names_and_words_are_completed() -> None:
    assert texts("%ski") == ["%skills"]
    assert texts("%skills ") == ["add", "use", "remove", "delete", "counting", "greeting"]
    assert texts("%skills use c") == ["counting"]
    assert texts("%skills add c") == []


class Outputs:
    """What was shown."""

    def __init__(self) -> None:
        self.plain: list[str] = []

    def emit(self, bundle: Any) -> None:
        self.plain.append(bundle.data["text/plain"])


async def test_a_skill_that_is_gone_does_not_stop_a_cell() -> None:
    async def equip(container_id: str, skills: Any) -> Any:
        raise NotFound("No such skill: skill_1.")

    nothing: Any = equip
    lender: Any = SimpleNamespace(
        offered_skills=nothing, skills_in=nothing, equip=equip,
        known_skills=nothing, keep_skill=nothing, delete_skill=nothing,
    )  # fmt: skip

    async def runtime() -> Any:
        return lender

    skills, outputs = NotebookSkills(runtime), Outputs()
    skills.chosen = {"gone": ChosenSkill("skill_1", "gone")}
    shown: Any = outputs
    await skills.equip("cntr_1", shown)
    assert outputs.plain == ["The container has no skills: No such skill: skill_1. %skills lists them."]
    assert list(skills.chosen) == ["gone"]


async def test_a_runtime_without_skills_says_so() -> None:
    async def runtime() -> Any:
        return object()

    with pytest.raises(CapabilityMissing, match="has no skills"):
        await NotebookSkills(runtime).lender()


def test_chosen_skills_are_kept_with_a_session() -> None:
    skills = NotebookSkills(None)  # type: ignore[arg-type]
    chosen = ChosenSkill("skill_1", "counting", "2")
    skills.chosen = {"counting": chosen}
    assert read_chosen(skills.to_json()) == (chosen,)
    assert read_chosen(None) == ()
    assert chosen.reference() == {"type": "skill_reference", "skill_id": "skill_1", "version": "2"}
