"""Completion, help and completeness of cells: Tab, Shift-Tab and Enter. Pure except for listing files."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from agent_kernel.errors import AgentKernelError, InvalidRequest
from agent_kernel.kernel.cells import MagicLine, parse
from agent_kernel.kernel.magics.matches import (
    MAX_MATCHES,
    Match,
    escaped,
    file,
    local,
    one_level,
    starting,
)
from agent_kernel.kernel.magics.table import MAGICS, Magic, find
from agent_kernel.kernel.python.asking import ask
from agent_kernel.kernel.python.cursor import completeness as python_completeness
from agent_kernel.kernel.python.cursor import python_part

if TYPE_CHECKING:
    from agent_kernel.kernel.notebook import Notebook

log = logging.getLogger(__name__)

_SHOWN = 60
"""Characters shown of the type of a variable."""

_MENTION = re.compile(r'(?<![\w@\\./+-])@(?:"([^"\n]*)|([^\s"`@]*))$')
_FENCE = re.compile(r"^\s*```", re.MULTILINE)

Matches = tuple[list[Match], int, int]
"""What can stand at the cursor, and the start and end of the characters that it replaces."""


@dataclass(frozen=True)
class Names:
    """What only the kernel's objects know.

    `files` are sizes in bytes by path below /mnt/data; `received` the files there that the page uploaded,
    which a prompt may mention. `variables` are types by name, `skills` descriptions. `model` is the one in
    use.
    """

    models: Sequence[str] = ()
    model: str | None = None
    files: Mapping[str, int] = field(default_factory=dict)
    received: Collection[str] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    skills: Mapping[str, str] = field(default_factory=dict)


async def runtime_names(notebook: Notebook, magic: Magic | None) -> Names:
    """Return the names that the magic's arguments need; none if the runtime is not open or unreachable.

    Without a magic they are the names that a prompt may mention.
    """
    from agent_kernel.kernel.render.files.artifacts import short_path, snapshot

    runtime, container_id = notebook.opened, notebook.container.id
    if magic is None:
        return Names(received=notebook.uploaded.only_there(container_id))
    wanted = magic.arguments
    try:
        if runtime is not None and wanted == "models":
            return Names(models=await runtime.models(), model=notebook.model)
        if runtime is not None and wanted == "files" and container_id is not None:
            found = await snapshot(runtime.containers.files, container_id)
            return Names(files={short_path(path): each.bytes for path, each in found.files.items()})
        if wanted == "skills" and runtime is not None:
            known = await (await notebook.skills.lender()).known_skills()
            return Names(skills={each.name: _one_line(each.description) for each in known})
        if wanted == "variables":
            answer = await ask(notebook, {"ask": "variables"})
            return Names(variables={row[0]: _variable(row) for row in (answer or {}).get("rows", ())})
    except AgentKernelError:
        log.info("Names could not be completed.", exc_info=True)
    return Names()


def _variable(row: Sequence[str]) -> str:
    """Return the type and shape of a variable. Both are from the container."""
    return _one_line(" ".join(filter(None, row[1:3])))


def _one_line(text: str) -> str:
    from agent_kernel.kernel.render.text import clean

    return clean(text)[:_SHOWN]


def complete(source: str, cursor: int, names: Names | None = None) -> Matches:
    """Return the completions of the text before the cursor."""
    names = names or Names()
    line_start = source.rfind("\n", 0, cursor) + 1
    line = source[line_start:cursor]
    indent = len(line) - len(line.lstrip())
    name = re.fullmatch(r"%{1,2}\w*", line.lstrip())
    if name:
        return starting(_magics("%"), name[0]), line_start + indent, cursor
    magic = re.match(r"%(%?\w+)[ \t]+", line.lstrip())
    if magic and magic[1] in MAGICS:
        word = _last_word(line)
        return _arguments(MAGICS[magic[1]], word, names, line), cursor - len(word), cursor
    mention = _MENTION.search(line)
    if mention and not line.lstrip().startswith(("%", "!")):
        found = _mention_matches(mention[1], mention[2], names.received)
        return found, line_start + mention.start(), cursor
    return [], cursor, cursor


def _magics(sign: str = "") -> list[Match]:
    return [Match(f"{sign}{name}", "line", magic.summary) for name, magic in MAGICS.items()]


def _last_word(line: str) -> str:
    """Return the text after the last unescaped space."""
    found = re.search(r"(?:\\.|[^\s\\])*\\?$", line)
    return found[0] if found else ""


def _arguments(magic: Magic, word: str, names: Names, line: str) -> list[Match]:
    offered = starting((Match(each, "option") for each in magic.words), word)
    if magic.arguments == "paths" or (magic.arguments == "skills" and " add " in line):
        return offered + escaped(local(word.replace("\\ ", " ")))
    if magic.arguments == "files":
        return offered + escaped(one_level(names.files, word.replace("\\ ", " ")))
    return offered + starting(_named(magic.arguments, names), word)


def _named(wanted: str, names: Names) -> list[Match]:
    if wanted == "variables":
        return [Match(name, "variable", about) for name, about in names.variables.items()]
    if wanted == "skills":
        return [Match(name, "skill", about) for name, about in names.skills.items()]
    if wanted == "models":
        return [Match(each, "model", "in use" if each == names.model else "") for each in names.models]
    return _magics() if wanted == "magics" else []


def _mention_matches(quoted: str | None, plain: str | None, received: Collection[str]) -> list[Match]:
    prefix = quoted if quoted is not None else plain or ""
    there = starting((file(path, where="in the container") for path in sorted(received)), prefix)
    found = [*local(prefix), *there][:MAX_MATCHES]
    return [replace(each, text=_mention(each.text, quoted=quoted is not None)) for each in found]


def _mention(path: str, *, quoted: bool) -> str:
    """Return a path as a mention. Quotes stay open after a folder, so that typing can continue."""
    if not quoted and " " not in path:
        return f"@{path}"
    return f'@"{path}' if path.endswith("/") else f'@"{path}"'


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
