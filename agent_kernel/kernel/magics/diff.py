"""The magic that shows what changed in the container: `%diff`."""

from __future__ import annotations

import contextlib
import posixpath
import shlex
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent_kernel.errors import InvalidRequest

if TYPE_CHECKING:
    from agent_kernel.kernel.branches.tree import Point
    from agent_kernel.kernel.changes.comparison import Differences, PatchFile, Question
    from agent_kernel.kernel.notebook import Notebook
    from agent_kernel.kernel.outputs import CellOutputs

PATCH = "changes.patch"
"""The file that `--patch` writes if it gets no name."""

_WORKSPACE = "/mnt/data"
_USAGE = (
    "Use %diff [FOLDER] [--since COMMIT | --cell N [--cell M] | --branch NAME] [--patch [FILE] [--force]]."
)


@dataclass(frozen=True)
class _Asked:
    """The arguments of `%diff`. `patch` is the file to write, or None.

    `cell` is the number of the cell before which the comparison begins, `until` of the one before which it
    ends, instead of now. `branch` is the branch that is compared with now.
    """

    folder: str = ""
    since: str | None = None
    cell: str | None = None
    until: str | None = None
    branch: str | None = None
    patch: str | None = None
    force: bool = False


async def diff(notebook: Notebook, outputs: CellOutputs, arguments: str) -> None:
    """Show what changed, or write it as a patch to the notebook's folder."""
    from agent_kernel.kernel.changes.comparison import comparison, named
    from agent_kernel.kernel.transfer.downloads import check_target

    asked = _read(arguments)
    if asked.patch is not None:
        check_target(asked.patch, force=asked.force)
    if notebook.container.id is None:
        raise InvalidRequest(
            "There is no container yet, so nothing has changed.",
            hint="The first prompt, upload or command creates one.",
        )
    container_id = (await notebook.container.open(outputs)).id
    question = await _question(notebook, container_id, asked)
    async with (
        _compared_with(notebook, container_id, asked) as later,
        comparison(await notebook.runtime(), later, question) as answer,
    ):
        if asked.branch is not None:
            answer = named(answer, f"the end of branch {asked.branch}")
        elif asked.cell is not None:
            answer = named(answer, _base(asked.cell, asked.until))
        if asked.patch is not None and answer.patch is not None:
            await _save(notebook, outputs, answer, answer.patch, asked)
        else:
            _show(outputs, answer)


@contextlib.asynccontextmanager
async def _compared_with(notebook: Notebook, container_id: str, asked: _Asked) -> AsyncGenerator[str, None]:
    """Yield the id of the container as it is now, or of one as it was before a cell."""
    from agent_kernel.kernel.changes.earlier import earlier_state

    if asked.until is None:
        yield container_id
        return
    point = _point(notebook, asked.until)
    async with earlier_state(await notebook.runtime(), point.container_id, point.id) as then:
        yield then


def _base(cell: str, until: str | None) -> str:
    words = f"the moment before cell {cell.strip('[]')}"
    return words if until is None else f"{words}, up to the moment before cell {until.strip('[]')}"


async def since_cell(notebook: Notebook, cell: str, outputs: CellOutputs) -> Differences:
    """Return what changed since the moment before a cell. Raises `InvalidRequest`."""
    from agent_kernel.kernel.changes.comparison import comparison

    if notebook.container.id is None:
        raise InvalidRequest("There is no container, so nothing can be compared.")
    container_id = (await notebook.container.open(outputs)).id
    question = await _question(notebook, container_id, _Asked(cell=cell))
    async with comparison(await notebook.runtime(), container_id, question) as answer:
        return answer


def _read(arguments: str) -> _Asked:
    try:
        words = shlex.split(arguments)
    except ValueError as error:
        raise InvalidRequest(f"The arguments of %diff cannot be read: {error}.", hint=_USAGE) from error
    found: dict[str, Any] = {}
    while words:
        word = words.pop(0)
        value = words[0] if words and not words[0].startswith("-") else None
        if word == "--force" and "force" not in found:
            found["force"] = True
        elif word == "--patch" and "patch" not in found:
            found["patch"] = words.pop(0) if value else PATCH
        elif word == "--since" and value and "since" not in found:
            found["since"] = words.pop(0)
        elif word == "--branch" and value and "branch" not in found:
            found["branch"] = words.pop(0)
        elif word == "--cell" and value and "until" not in found:
            found["until" if "cell" in found else "cell"] = words.pop(0)
        elif word and not word.startswith("-") and "folder" not in found:
            found["folder"] = _folder(word)
        else:
            raise InvalidRequest(f"%diff does not know {word!r}.", hint=_USAGE)
    if len({"cell", "since", "branch"} & {*found}) > 1:
        raise InvalidRequest("%diff compares with one of a commit, a cell and a branch.", hint=_USAGE)
    return _Asked(**found)


def _folder(word: str) -> str:
    """Return a folder's path below /mnt/data. Raises `InvalidRequest` for one that is not there."""
    path = posixpath.normpath(posixpath.join(_WORKSPACE, word))
    if path != _WORKSPACE and not path.startswith(_WORKSPACE + "/"):
        raise InvalidRequest(f"%diff compares what is in {_WORKSPACE}, and {word} is not.", hint=_USAGE)
    return posixpath.relpath(path, _WORKSPACE) if path != _WORKSPACE else ""


async def _question(notebook: Notebook, container_id: str, asked: _Asked) -> Question:
    from agent_kernel.kernel.changes.comparison import Question

    found = await (await notebook.runtime()).containers.retrieve(container_id)
    ours = (found.model_extra or {}).get("agent_kernel")
    on_volume = isinstance(ours, dict) and bool(ours.get("volume"))
    point = _earlier(notebook, asked)
    uploads = notebook.uploaded.originals(container_id).archive()
    return Question(
        folder=asked.folder,
        since=asked.since,
        before=uploads if point is None else await _before(notebook, point),
        began=found.created_at if on_volume and point is None else None,
        repositories=point is None,
        patch=asked.patch is not None,
    )


def _earlier(notebook: Notebook, asked: _Asked) -> Point | None:
    """Return the state of a cell or branch to compare with. Raises `InvalidRequest` if it was not kept."""
    if asked.branch is None:
        return None if asked.cell is None else _point(notebook, asked.cell)
    moment = notebook.branches.tree.other(asked.branch).moment
    if moment is None or moment.point is None or moment.point.gone:
        why = moment.obstacle if moment is not None else "it is not known"
        raise InvalidRequest(
            f"The files of branch {asked.branch} were not kept: {why}.", hint="%branch lists all."
        )
    return moment.point


async def _before(notebook: Notebook, point: Point) -> bytes:
    """Return the files of an earlier state."""
    from agent_kernel.kernel.changes.earlier import archive_before

    return await archive_before(await notebook.runtime(), point.container_id, point.id)


def _point(notebook: Notebook, cell: str) -> Point:
    before = notebook.branches.tree.wanted(cell).before
    if before.point is None or before.point.gone:
        raise InvalidRequest(
            f"There is no state from before cell {cell[:80]}: {before.obstacle}.",
            hint="%history lists the cells.",
        )
    return before.point


def _show(outputs: CellOutputs, answer: Differences) -> None:
    from agent_kernel.kernel.changes.shown import area_bundle, remark
    from agent_kernel.kernel.render.bundles import note

    for area in answer.areas:
        outputs.emit(area_bundle(area))
    for text in answer.notes:
        outputs.emit(remark(text))
    if not answer.areas and not answer.notes:
        outputs.emit(note("Nothing has changed."))


async def _save(
    notebook: Notebook, outputs: CellOutputs, answer: Differences, patch: PatchFile, asked: _Asked
) -> None:
    """Write the patch to the notebook's folder, and say where it can be applied."""
    from agent_kernel.kernel.changes.shown import counted, remark
    from agent_kernel.kernel.render.bundles import note
    from agent_kernel.kernel.render.text import code, size
    from agent_kernel.kernel.transfer.downloads import save

    path = str(asked.patch)
    await save(await notebook.runtime(), patch.file, path, outputs, force=asked.force)
    where = f"a clone of {code(patch.folder or _WORKSPACE)}"
    if not any(area.is_repository and area.folder == patch.folder for area in answer.areas):
        where = "the folder of the files that you uploaded"
    outputs.emit(note(f"Wrote {code(path)} ({size(patch.file.bytes)}, {counted(patch.files, 'file')})."))
    outputs.emit(note(f"To apply it in {where}: {code(f'git apply {shlex.quote(path)}')}."))
    if patch.elsewhere:
        others = counted(patch.elsewhere, "other change")
        outputs.emit(note(f"Not in it: {others}. `%diff` shows everything."))
    for area in answer.areas:
        for text in area.notes:
            outputs.emit(remark(text))
