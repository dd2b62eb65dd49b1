"""Completion, help and completeness of cells: Tab, Shift-Tab and Enter. Pure except for listing files."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from agent_kernel.errors import AgentKernelError, InvalidRequest
from agent_kernel.kernel.cells import MagicLine, parse
from agent_kernel.kernel.magics.table import MAGICS, Magic, find
from agent_kernel.kernel.python.asking import ask
from agent_kernel.kernel.python.cursor import completeness as python_completeness
from agent_kernel.kernel.python.cursor import python_part

if TYPE_CHECKING:
    from agent_kernel.kernel.notebook import Notebook

log = logging.getLogger(__name__)

MAX_MATCHES = 200
_MENTION = re.compile(r'(?<![\w@\\./+-])@(?:"([^"\n]*)|([^\s"`@]*))$')
_FENCE = re.compile(r"^\s*```", re.MULTILINE)

Matches = tuple[list[str], int, int]
"""The possible texts, and the start and end of the characters they replace."""


@dataclass(frozen=True)
class Names:
    """Names that only the runtime knows: models, paths of files relative to /mnt/data, and variables."""

    models: Sequence[str] = ()
    files: Sequence[str] = ()
    variables: Sequence[str] = ()


async def runtime_names(notebook: Notebook, magic: Magic | None) -> Names:
    """Return the names that the magic's arguments need; none if the runtime is not open or unreachable."""
    from agent_kernel.kernel.render.files.artifacts import short_path, snapshot

    runtime, container_id = notebook.opened, notebook.container.id
    wanted = magic.arguments if magic else ""
    try:
        if runtime is not None and wanted == "models":
            return Names(models=await runtime.models())
        if runtime is not None and wanted == "files" and container_id is not None:
            found = await snapshot(runtime.containers.files, container_id)
            return Names(files=[short_path(path) for path in sorted(found.files)])
        if wanted == "variables":
            answer = await ask(notebook, {"ask": "variables"})
            return Names(variables=[row[0] for row in (answer or {}).get("rows", ())])
    except AgentKernelError:
        log.info("Names could not be completed.", exc_info=True)
    return Names()


def complete(source: str, cursor: int, names: Names | None = None) -> Matches:
    """Return the completions of the text before the cursor."""
    line_start = source.rfind("\n", 0, cursor) + 1
    line = source[line_start:cursor]
    indent = len(line) - len(line.lstrip())
    name = re.fullmatch(r"%{1,2}\w*", line.lstrip())
    if name:
        matches = [f"%{each}" for each in MAGICS if f"%{each}".startswith(name[0])]
        return matches, line_start + indent, cursor
    magic = re.match(r"%(%?\w+)[ \t]+", line.lstrip())
    if magic and magic[1] in MAGICS:
        word = _last_word(line)
        return _arguments(MAGICS[magic[1]], word, names or Names()), cursor - len(word), cursor
    mention = _MENTION.search(line)
    if mention and not line.lstrip().startswith(("%", "!")):
        return _mention_matches(mention[1], mention[2]), line_start + mention.start(), cursor
    return [], cursor, cursor


def _last_word(line: str) -> str:
    """Return the text after the last unescaped space."""
    found = re.search(r"(?:\\.|[^\s\\])*\\?$", line)
    return found[0] if found else ""


def _arguments(magic: Magic, word: str, names: Names) -> list[str]:
    offered = [each for each in magic.words if each.startswith(word)]
    if magic.arguments == "paths":
        return offered + _escaped(_paths(word.replace("\\ ", " ")))
    if magic.arguments == "files":
        return offered + _escaped(_one_folder(names.files, word.replace("\\ ", " ")))
    if magic.arguments == "variables":
        return offered + [each for each in names.variables if each.startswith(word)]
    if magic.arguments == "models":
        return offered + [each for each in names.models if each.startswith(word)]
    if magic.arguments == "magics":
        return [each for each in MAGICS if each.startswith(word)]
    return offered


def _escaped(paths: list[str]) -> list[str]:
    return [path.replace(" ", "\\ ") for path in paths]


def _mention_matches(quoted: str | None, plain: str | None) -> list[str]:
    found = _paths(quoted if quoted is not None else plain or "")
    return [_mention(path, quoted=quoted is not None) for path in found]


def _mention(path: str, *, quoted: bool) -> str:
    """Return a path as a mention. Quotes stay open after a folder, so that typing can continue."""
    if not quoted and " " not in path:
        return f"@{path}"
    return f'@"{path}' if path.endswith("/") else f'@"{path}"'


def _paths(prefix: str) -> list[str]:
    """Return local paths with this prefix. Folders end in a slash; hidden names need a prefix with a dot."""
    start = prefix.rpartition("/")[2]
    shown = prefix[: len(prefix) - len(start)]
    try:
        with os.scandir(os.path.expanduser(shown) or ".") as entries:
            names = [(entry.name, entry.is_dir()) for entry in entries]
    except (OSError, ValueError):
        return []
    matches = [
        shown + name + ("/" if is_folder else "")
        for name, is_folder in sorted(names)
        if name.startswith(start) and (start.startswith(".") or not name.startswith("."))
    ]
    return matches[:MAX_MATCHES]


def _one_folder(files: Sequence[str], prefix: str) -> list[str]:
    """Return the container's files with this prefix; for a file in a deeper folder, that folder."""
    depth = prefix.count("/")
    found: dict[str, None] = {}
    for path in files:
        if path.startswith(prefix):
            parts = path.split("/")
            found["/".join(parts[: depth + 1]) + ("/" if len(parts) > depth + 1 else "")] = None
    return sorted(found)[:MAX_MATCHES]


def magic_at(source: str, cursor: int) -> Magic | None:
    """Return the magic on the cursor's line, or None."""
    line_start = source.rfind("\n", 0, cursor) + 1
    match = re.match(r"[ \t]*%(%?\w+)", source[line_start:].partition("\n")[0])
    return MAGICS.get(match[1]) if match else None


def completeness(source: str) -> Literal["complete", "incomplete", "invalid"]:
    """Return whether a console should send this.

    It is `incomplete` after a continued line, in an open code block, or in a `%%` cell without a blank line
    at its end; `invalid` with an unknown magic.
    """
    if source.endswith("\\"):
        return "incomplete"
    cell = parse(source)
    try:
        for line in cell.lines:
            if isinstance(line, MagicLine):
                find(line.name)
    except InvalidRequest:
        return "invalid"
    if (part := python_part(source)) is not None:
        return python_completeness(part.code)
    ends = source.endswith("\n")
    takes_lines = any(isinstance(line, MagicLine) and line.name.startswith("%") for line in cell.lines)
    if (takes_lines or len(_FENCE.findall(cell.prompt)) % 2) and not ends:
        return "incomplete"
    return "complete"
