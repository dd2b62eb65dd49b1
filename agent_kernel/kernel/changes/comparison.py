"""Compare the container's files with those from before, by a program inside the container."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from agent_kernel.errors import AgentKernelError, InvalidRequest
from agent_kernel.kernel.render.files.inspection import command, line, printed

if TYPE_CHECKING:
    from openai.types.containers import FileCreateResponse

    from agent_kernel.runtime.base import ContainerFiles, Runtime

WORKSPACE = "/mnt/data"
SECONDS = 60.0
"""Seconds that the comparison may take."""

MOST_AREAS, MOST_CHANGES, MOST_NOTES = 21, 200, 10
MOST_DIFF = 10_000
"""Characters of one file's diff. The program keeps to smaller limits; its output is untrusted."""

_CHANGES = ("added", "changed", "removed")


@dataclass(frozen=True)
class Question:
    """What to compare: a folder (empty means all), since a commit, or since the container began.

    `before` is the archive of the files from before. `began` is the time in seconds since which a file counts
    as changed if it is not in there; None counts all. `patch` asks for a patch. Without
    `repositories` they are left out.
    """

    folder: str = ""
    since: str | None = None
    before: bytes | None = None
    began: int | None = None
    patch: bool = False
    repositories: bool = True


@dataclass(frozen=True)
class FileChange:
    """A file that was added, changed or removed. `added` and `removed` are lines, None if it is not text."""

    path: str
    change: str
    added: int | None
    removed: int | None
    said: str
    diff: str


@dataclass(frozen=True)
class AreaChanges:
    """The changes in a repository, or in all files outside of repositories: the first ones of `count`."""

    folder: str
    is_repository: bool
    base: str
    changes: Sequence[FileChange]
    count: int
    notes: Sequence[str]


@dataclass(frozen=True)
class PatchFile:
    """A patch in the container: its folder, how many files it changes, and how many changes it leaves out."""

    file: FileCreateResponse
    folder: str
    files: int
    elsewhere: int


@dataclass(frozen=True)
class Differences:
    """What changed. `patch` is there if it was asked for."""

    areas: Sequence[AreaChanges]
    notes: Sequence[str]
    patch: PatchFile | None = None


@contextlib.asynccontextmanager
async def comparison(
    runtime: Runtime, container_id: str, question: Question
) -> AsyncGenerator[Differences, None]:
    """Yield the answer. Its patch is a file in the container until the context ends.

    Raises `InvalidRequest` with the reason if there is no answer, and what `Runtime.respond` and
    `ContainerFiles` raise. Cancelling ends the program.
    """
    files = runtime.containers.files
    made: dict[str, FileCreateResponse] = {}
    name = f".agent-kernel-diff-{secrets.token_hex(8)}"
    try:
        for ending, content in (("zip", question.before), ("patch", b"" if question.patch else None)):
            if content is not None:
                made[ending] = await files.create(
                    container_id, path=f"{name}.{ending}", content=once(content), size=len(content)
                )
        paths = {ending: file.path for ending, file in made.items()}
        found = await _asked(runtime, container_id, question, paths)
        patch = None
        if question.patch:
            patch = _patch(found, await files.retrieve(container_id, made["patch"].id))
        yield _answer(found, patch)
    finally:
        for file in made.values():
            await _remove(files, file)


async def once(content: bytes) -> AsyncGenerator[bytes, None]:
    """Yield the content of a small file as one chunk."""
    yield content


async def _remove(files: ContainerFiles, file: FileCreateResponse) -> None:
    with contextlib.suppress(
        AgentKernelError
    ):  # gone with its container, which is not the fault of the comparison
        await files.delete(file.container_id, file.id)


async def _asked(
    runtime: Runtime, container_id: str, question: Question, paths: Mapping[str, str]
) -> dict[str, Any]:
    options = {
        "root": WORKSPACE,
        "folder": question.folder,
        "since": question.since,
        "before": paths.get("zip"),
        "began": question.began,
        "patch": paths.get("patch"),
        "repositories": question.repositories,
    }
    run = command(json.dumps(options), module="main", package="diff")
    try:
        async with asyncio.timeout(SECONDS):
            return understood(*await printed(runtime, container_id, run))
    except TimeoutError as error:
        raise InvalidRequest(
            f"The comparison took more than {SECONDS:.0f} s.", hint="Compare less: %diff FOLDER"
        ) from error


def understood(text: str, code: int | None) -> dict[str, Any]:
    """Return the answer that a program printed. Raises `InvalidRequest` that says why there is none."""
    if code == 126:
        raise InvalidRequest(
            "The operator's approval policy denies the program that compares the files.",
            hint="Ask the operator to allow python3, or use git yourself: !git diff",
        )
    if code == 127:
        raise InvalidRequest("%diff needs python3 in the container, and there is none.")
    try:
        found = json.loads(text)
        reason = found.get("reason")
    except (ValueError, RecursionError, AttributeError) as error:
        raise InvalidRequest(
            "The comparison did not end within its limits of memory and time.",
            hint="Compare less: %diff FOLDER",
        ) from error
    if reason is not None:
        raise InvalidRequest(f"%diff: {line(reason)}.", hint="%files lists the files in the container.")
    return dict(found)


def named(answer: Differences, base: str) -> Differences:
    """Return the answer with a name for the state that files were compared with."""
    return replace(answer, areas=[replace(area, base=base) for area in answer.areas])


def _answer(found: Mapping[str, Any], patch: PatchFile | None) -> Differences:
    """Read the program's answer. Raises `InvalidRequest` if it has another form."""
    try:
        areas = [_area(each) for each in found["areas"][:MOST_AREAS]]
        return Differences(areas, _lines(found["notes"]), patch)
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise _not_understood() from error


def _area(found: Mapping[str, Any]) -> AreaChanges:
    is_repository = found["kind"] == "repository"
    return AreaChanges(
        folder=line(found["folder"]),
        is_repository=is_repository,
        base=line(found["base"]) if is_repository else "",
        changes=[_change(each) for each in found["changes"][:MOST_CHANGES]],
        count=int(found["count"]),
        notes=_lines(found["notes"]),
    )


def _change(found: Mapping[str, Any]) -> FileChange:
    change = found["change"]
    if change not in _CHANGES:
        raise ValueError(change)
    added, removed = (None if found[name] is None else int(found[name]) for name in ("added", "removed"))
    diff = str(found["diff"])[:MOST_DIFF]
    return FileChange(line(found["path"]), change, added, removed, line(found["said"]), diff)


def _lines(found: Sequence[Any]) -> list[str]:
    return [line(each) for each in found[:MOST_NOTES]]


def _patch(found: Mapping[str, Any], file: FileCreateResponse) -> PatchFile:
    try:
        written = found["patch"]
        return PatchFile(file, line(written["folder"]), int(written["files"]), int(written["elsewhere"]))
    except (TypeError, KeyError, ValueError) as error:
        raise _not_understood() from error


def _not_understood() -> InvalidRequest:
    return InvalidRequest("What the container says about its files cannot be understood.")
