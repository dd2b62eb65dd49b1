"""The magic `%skills`: skills that the agent may use in this notebook."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from agent_kernel.errors import InvalidRequest, TooLarge
from agent_kernel.kernel.magics.python import words_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent_kernel.kernel.notebook import Notebook
    from agent_kernel.kernel.outputs import CellOutputs
    from agent_kernel.runtime.skills.base import KnownSkill, SkillThere

_USAGE = (
    "Use %skills, %skills add PATH…, %skills use NAME [VERSION], %skills remove NAME or %skills delete NAME"
)


async def skills(notebook: Notebook, outputs: CellOutputs, arguments: str) -> None:
    """Add, list, use, remove or delete skills. Raises `InvalidRequest`, `TooLarge`, `LimitReached`."""
    match words_of("%skills", arguments, _USAGE):
        case []:
            await _list(notebook, outputs)
        case ["add", *paths] if paths:
            await _add(notebook, outputs, paths)
        case ["use", name]:
            await _use(notebook, outputs, name, "")
        case ["use", name, version]:
            await _use(notebook, outputs, name, version)
        case ["remove", name]:
            await _remove(notebook, outputs, name)
        case ["delete", name]:
            await _delete(notebook, outputs, name)
        case _:
            raise InvalidRequest(f"%skills does not know {arguments.strip()!r}.", hint=_USAGE)


async def _list(notebook: Notebook, outputs: CellOutputs) -> None:
    from agent_kernel.kernel.render.bundles import note, table
    from agent_kernel.kernel.render.text import clean

    known = await (await notebook.skills.lender()).known_skills()
    chosen = notebook.skills.chosen
    if not known and not chosen:
        outputs.result(note("There are no skills. `%skills add FOLDER` adds one."))
        return
    rows = []
    for each in known:
        used = chosen.get(each.name)
        uses = used is not None and used.id == each.id
        version = (used.version if used is not None and uses else "") or each.version
        rows.append([clean(each.name), version, "yes" if uses else "no", clean(each.description)])
    there = {each.id for each in known}
    rows += [
        [clean(each.name), each.version, "deleted", ""] for each in chosen.values() if each.id not in there
    ]
    outputs.result(table(["skill", "version", "in use", "what it is for"], rows).bundle())


async def _add(notebook: Notebook, outputs: CellOutputs, paths: Sequence[str]) -> None:
    from agent_kernel.kernel.offers.skills import ChosenSkill
    from agent_kernel.kernel.render.bundles import note
    from agent_kernel.kernel.render.text import clean, code

    lender = await notebook.skills.lender()
    lines = []
    for path in paths:
        outputs.step(f"Adding {clean(path)}")
        kept = await lender.keep_skill(await _files(notebook, path))
        chosen = notebook.skills.chosen | {kept.name: ChosenSkill(kept.id, kept.name)}
        there = await notebook.skills.choose(chosen.values(), notebook.container.id)
        lines.append(f"Kept {code(clean(kept.name))} as version {kept.version}.{_where(there, kept.name)}")
    outputs.result(note("  \n".join(lines)))


async def _files(notebook: Notebook, path: str) -> list[tuple[str, bytes]]:
    """Read a folder, or one zip archive. Raises `InvalidRequest`, `TooLarge`."""
    from agent_kernel.kernel.transfer.host_files import read_chunks
    from agent_kernel.kernel.transfer.uploads import find_uploads
    from agent_kernel.runtime.skills.base import LARGEST

    plan = find_uploads(shlex.quote(path), notebook.settings)
    if sum(each.file.size for each in plan.uploads) > LARGEST:
        raise TooLarge(f"The skill in {path} is larger than {LARGEST >> 20} MiB.")
    return [
        (each.target, b"".join([chunk async for chunk in read_chunks(each.file)])) for each in plan.uploads
    ]


async def _use(notebook: Notebook, outputs: CellOutputs, name: str, version: str) -> None:
    from agent_kernel.kernel.offers.skills import ChosenSkill
    from agent_kernel.kernel.render.bundles import note
    from agent_kernel.kernel.render.text import clean, code

    found = await _known(notebook, name)
    chosen = notebook.skills.chosen | {found.name: ChosenSkill(found.id, found.name, version)}
    there = await notebook.skills.choose(chosen.values(), notebook.container.id)
    outputs.result(note(f"The agent can use {code(clean(found.name))}.{_where(there, found.name)}"))


async def _remove(notebook: Notebook, outputs: CellOutputs, name: str) -> None:
    from agent_kernel.kernel.render.bundles import note
    from agent_kernel.kernel.render.text import clean, code

    if name not in notebook.skills.chosen:
        raise InvalidRequest(f"This notebook does not use a skill {name}.", hint="%skills lists the skills.")
    await _without(notebook, name)
    outputs.result(note(f"This notebook no longer uses {code(clean(name))}."))


async def _delete(notebook: Notebook, outputs: CellOutputs, name: str) -> None:
    from agent_kernel.kernel.render.bundles import note
    from agent_kernel.kernel.render.text import clean, code

    found = await _known(notebook, name)
    if not found.version:
        raise InvalidRequest(
            f"{name} is a skill of the operator's.",
            hint=f"%skills remove {name} leaves it out of this notebook.",
        )
    if name in notebook.skills.chosen:
        await _without(notebook, name)
    await (await notebook.skills.lender()).delete_skill(found.id)
    outputs.result(note(f"Deleted {code(clean(name))} with all its versions."))


async def _without(notebook: Notebook, name: str) -> None:
    left = [each for each in notebook.skills.chosen.values() if each.name != name]
    await notebook.skills.choose(left, notebook.container.id)


async def _known(notebook: Notebook, name: str) -> KnownSkill:
    """Return the skill of this name or id; of several the operator's, else the newest."""
    known = await (await notebook.skills.lender()).known_skills()
    for each in known:
        if name in (each.name, each.id):
            return each
    words = ", ".join(sorted({each.name for each in known})) or "none"
    raise InvalidRequest(
        f"There is no skill {name}. Skills here: {words}.", hint="%skills add FOLDER adds one."
    )


def _where(there: Sequence[SkillThere], name: str) -> str:
    from agent_kernel.kernel.render.text import clean, code

    place = next((each.path for each in there if each.name == name), None)
    return f" It lies in {code(clean(place))}." if place is not None else " The next cell's container has it."
