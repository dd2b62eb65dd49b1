"""Skills: folders with instructions, scripts and files that a container starts with.

A request contains them (`inline`), or names skills that the operator keeps in a folder (`skill_reference`). A
request can never name a path of the host. The model receives each skill's name, description and path inside
the container, and reads the rest when it needs it.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import yaml

from agent_kernel.errors import ConfigurationError, InvalidRequest
from agent_kernel.runtime.containers.skills.archive import (
    LARGEST_FILE,
    LARGEST_SKILL,
    MANIFEST,
    MOST_FILES,
    Files,
    SkillFile,
    unpack,
)
from agent_kernel.sandboxes.channel import Channel
from agent_kernel.sandboxes.mounts import PARENT
from agent_kernel.store.records import SkillNote

FOLDER = "/home/agent/skills"
"""Their folder in a container. It is outside the workspace, because they are not the user's files."""

KEPT = "skill_"
"""What the ids of kept skills begin with; a folder of the operator's has another name."""

MOST_SKILLS = 50
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_PIECE = 256 << 10
_DESCRIPTION = 1024
_FRONT_MATTER = re.compile(r"\A---[ \t]*\r?\n(.*?)^---[ \t]*\r?$", re.DOTALL | re.MULTILINE)

_INTRODUCTION = (
    "Skills are folders with instructions, scripts and files for certain tasks. When a task is what one of"
    " these is for, read its SKILL.md first and follow it; paths in it are relative to its folder."
)


@dataclass(frozen=True)
class Skill:
    """A skill with its files."""

    note: SkillNote
    files: Files


class FindsKept(Protocol):
    """The skills that a user keeps."""

    async def find(self, skill_id: str, version: object) -> tuple[Described, Files]:
        """Return a version with its files; None: the default. Raises `NotFound`, `InvalidRequest`."""
        ...


class Described(Protocol):
    """A version of a skill."""

    @property
    def name(self) -> str: ...

    @property
    def description(self) -> str: ...


class Skills:
    """The skills that requests may use: the operator's, a folder per skill, and those that a user keeps."""

    def __init__(self, folder: Path | None = None, kept: FindsKept | None = None) -> None:
        self._folder = folder
        self._kept = kept

    def of(self, kept: FindsKept) -> Skills:
        """Return the skills of one user."""
        return Skills(self._folder, kept)

    async def read(self, given: object, where: str) -> list[Skill]:
        """Read the `skills` of a container's parameters; absent and null mean none.

        Raises `InvalidRequest` and `TooLarge`, naming the place in `where`, and `ConfigurationError` for one
        of the operator's that cannot be read.
        """
        entries = _entries(given, where)
        skills = [await self._one(entry, f"{where}[{index}]") for index, entry in enumerate(entries)]
        names = [skill.note.name for skill in skills]
        if len(set(names)) < len(names):
            raise InvalidRequest(f"Two of the {where} have the same name.", param=where)
        return skills

    async def _one(self, entry: Mapping[str, Any], where: str) -> Skill:
        match entry.get("type"):
            case "inline":
                return await asyncio.to_thread(_inline, entry, where)
            case "skill_reference" if self._is_kept(entry.get("skill_id")):
                return await self._of_user(entry, where)
            case "skill_reference":
                return await asyncio.to_thread(self._registered, entry.get("skill_id"), entry, where)
            case None if "path" in entry:
                return await asyncio.to_thread(self._registered, entry["path"], entry, where)
        raise InvalidRequest(f"{where}.type must be inline or skill_reference.", param=f"{where}.type")

    def _is_kept(self, id: object) -> bool:  # noqa: A002
        return self._kept is not None and isinstance(id, str) and id.startswith(KEPT)

    async def _of_user(self, entry: Mapping[str, Any], where: str) -> Skill:
        assert self._kept is not None  # noqa: S101 (`_is_kept`)
        try:
            version, files = await self._kept.find(entry["skill_id"], entry.get("version"))
        except InvalidRequest as error:
            raise InvalidRequest(error.message, hint=error.hint, param=where) from None
        return _skill(version.name, version.description, files)

    def _registered(self, name: object, entry: Mapping[str, Any], where: str) -> Skill:
        known = self.names()
        if not isinstance(name, str) or name not in known:
            words = ", ".join(known) or "none"
            raise InvalidRequest(
                f"No such skill: {str(name)[:100]!r}.",
                hint=f"Registered on this server: {words}.",
                param=where,
            )
        if entry.get("version") not in (None, "latest"):
            raise InvalidRequest(
                f"This server keeps no versions of the skill {name!r}.",
                hint="Leave version out.",
                param=f"{where}.version",
            )
        assert self._folder is not None  # noqa: S101 (else there would be no names)
        return _from_folder(self._folder / name)

    def offered(self) -> list[tuple[str, str]]:
        """Return names and descriptions of the operator's skills; one that cannot be read has no description.

        Takes as long as reading their manifests does: call it from a thread.
        """
        return [(name, self._described(name)) for name in self.names()]

    def _described(self, name: str) -> str:
        assert self._folder is not None  # noqa: S101 (else there would be no names)
        try:
            with (self._folder / name / MANIFEST).open("rb") as file:
                found = front_matter(file.read(64 << 10)).get("description")
        except OSError:
            found = None
        return " ".join(found.split())[:_DESCRIPTION] if isinstance(found, str) else ""

    def names(self) -> list[str]:
        """Return the names of the operator's skills. No other name is ever looked up on the host."""
        if self._folder is None or not self._folder.is_dir():
            return []
        found = [each.name for each in self._folder.iterdir() if (each / MANIFEST).is_file()]
        return sorted(name for name in found if _NAME.fullmatch(name) and not name.startswith(KEPT))


def _entries(given: object, where: str) -> Sequence[Mapping[str, Any]]:
    if given is None:
        return []
    if (
        not isinstance(given, Sequence)
        or isinstance(given, str | bytes)
        or len(given) > MOST_SKILLS
        or not all(isinstance(each, Mapping) for each in given)
    ):
        raise InvalidRequest(f"{where} must be a list of at most {MOST_SKILLS} objects.", param=where)
    return given


def _inline(entry: Mapping[str, Any], where: str) -> Skill:
    source = entry.get("source")
    if (
        not isinstance(source, Mapping)
        or source.get("type") != "base64"
        or source.get("media_type") != "application/zip"
        or not isinstance(source.get("data"), str)
    ):
        raise InvalidRequest(
            f"{where}.source must be {{'type': 'base64', 'media_type': 'application/zip', 'data': ...}}.",
            param=f"{where}.source",
        )
    name, description = called(entry.get("name"), entry.get("description"), where)
    return _skill(name, description, unpack(source["data"], f"{where}.source"))


def called(name: object, description: object, where: str) -> tuple[str, str]:
    """Check the name and the description of a skill at a place of a request. Raises `InvalidRequest`."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidRequest(
            f"{where}.name must be 1 to 64 letters, digits and . _ -, the first a letter or digit.",
            param=f"{where}.name",
        )
    if not isinstance(description, str) or not description.strip() or len(description) > _DESCRIPTION:
        raise InvalidRequest(
            f"{where}.description must be a string of at most {_DESCRIPTION} characters.",
            param=f"{where}.description",
        )
    return name, description


def _skill(name: str, description: str, files: Files) -> Skill:
    digest = hashlib.sha256()
    for path, file in sorted(files.items()):
        head = f"{path}\0{file.executable}\0{len(file.content)}\0"
        digest.update(head.encode() + file.content)
    return Skill(
        SkillNote(name, " ".join(description.split()), f"{FOLDER}/{name}", digest.hexdigest()), files
    )


def _from_folder(folder: Path) -> Skill:
    """Read one of the operator's skills. Links that lead outside are skipped."""
    try:
        files = dict(_files_of(folder))
        matter = front_matter(files[MANIFEST].content)
        name, description = called(matter.get("name"), matter.get("description"), MANIFEST)
    except (OSError, KeyError, InvalidRequest) as error:
        reason = error.message if isinstance(error, InvalidRequest) else str(error)
        raise ConfigurationError(
            f"The skill {folder.name!r} of this server cannot be used: {reason}",
            hint=f"Its {MANIFEST} must begin with a front matter that has name and description.",
        ) from error
    return _skill(name, description, files)


def _files_of(folder: Path) -> Iterator[tuple[str, SkillFile]]:
    root, room = folder.resolve(), LARGEST_SKILL
    paths = [path for path in folder.rglob("*") if path.is_file() and path.resolve().is_relative_to(root)]
    if len(paths) > MOST_FILES:
        raise InvalidRequest(f"it has more than {MOST_FILES} files.")
    for path in sorted(paths):
        status = path.stat()
        room -= status.st_size
        if status.st_size > LARGEST_FILE or room < 0:
            raise InvalidRequest(f"{path.name} is too large, or all of it is.")
        yield path.relative_to(folder).as_posix(), SkillFile(path.read_bytes(), bool(status.st_mode & 0o111))


def front_matter(manifest: bytes) -> Mapping[str, Any]:
    """Return the front matter of a manifest, or nothing if it has none that can be read."""
    found = _FRONT_MATTER.match(manifest[: 64 << 10].decode("utf-8", "replace"))
    try:
        read = yaml.safe_load(found[1]) if found else None
    except yaml.YAMLError:
        read = None
    return read if isinstance(read, Mapping) else {}


async def install(channel: Channel, skills: Sequence[Skill]) -> None:
    """Copy the skills into a container. Each replaces an earlier skill of its name.

    Raises what `Channel.put` raises.
    """
    for skill in skills:
        wanted = {f"{skill.note.path}/{path}": file for path, file in skill.files.items()}
        for old in await channel.list(skill.note.path):
            if old.path not in wanted:
                await channel.remove(old.path, within=FOLDER)
        for path, file in wanted.items():
            await channel.put(path, _pieces(file.content), within=FOLDER, executable=file.executable)


async def _pieces(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), _PIECE):
        yield content[start : start + _PIECE]


def local_notes(given: object, where: str) -> list[SkillNote]:
    """Return the skills of a `local` environment, which are on the client's machine."""
    notes = []
    for index, entry in enumerate(_entries(given, where)):
        name, description = called(entry.get("name"), entry.get("description"), f"{where}[{index}]")
        path = entry.get("path")
        if not isinstance(path, str) or not path.isprintable():
            raise InvalidRequest(f"{where}[{index}].path must be a path.", param=f"{where}[{index}].path")
        notes.append(SkillNote(name, " ".join(description.split()), path))
    return notes


def with_mounts(instructions: str | None, names: Sequence[str]) -> str | None:
    """Return the request's instructions followed by the list of mounted folders."""
    if not names:
        return instructions
    lines = [f"- {PARENT}/{name}" for name in names]
    listed = "\n".join(["# Data sets", "These folders of the container are mounted read-only:", *lines])
    return f"{instructions}\n\n{listed}" if instructions else listed


def instructions_with(instructions: str | None, notes: Sequence[SkillNote]) -> str | None:
    """Return the request's instructions followed by the list of skills."""
    if not notes:
        return instructions
    lines = [f"- {note.name}: {note.description} (in {note.path}/{MANIFEST})" for note in notes]
    told = "\n".join(["# Skills", _INTRODUCTION, *lines])
    return f"{instructions}\n\n{told}" if instructions else told
