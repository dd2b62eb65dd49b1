"""The user's turns of a saved notebook with the Agent kernel: its prompts, commands, code and uploads.

Only files below the notebook's folder are uploaded: the notebook may be somebody else's.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from agent_kernel.conversion.containers import CopiedFile
from agent_kernel.conversion.replay.prompts import ReplayPrompt
from agent_kernel.errors import InvalidRequest
from agent_kernel.kernel.cells import MagicLine, ShellLine, parse
from agent_kernel.kernel.preferences import Preferences, from_metadata
from agent_kernel.kernel.settings import KernelSettings
from agent_kernel.kernel.transfer.host_files import read_chunks
from agent_kernel.kernel.transfer.mentions import find_mentioned, heads
from agent_kernel.kernel.transfer.prompt import Prompt, PromptPicture, head, picture
from agent_kernel.kernel.transfer.uploaded import PendingUpload
from agent_kernel.kernel.transfer.uploads import find_uploads
from agent_kernel.models.catalogue import DIRECT, PYTHON

LARGEST = 64 << 20
"""Bytes of a notebook."""

_SHELL = {"type": "shell"}
_RUN = {"%bash": "shell", "%python": "python", "%r": "r"}


@dataclass
class NotebookTurns:
    """What a notebook asks and runs. `ignored` are the magics that a replay leaves out."""

    prompts: list[ReplayPrompt] = field(default_factory=list)
    uploads: dict[str, CopiedFile] = field(default_factory=dict)
    ignored: set[str] = field(default_factory=set)


async def turns_of(path: Path, settings: KernelSettings) -> NotebookTurns:
    """Read a notebook. Nothing runs, and no file is sent yet.

    Raises `InvalidRequest` for a file that is no such notebook, and for uploads that are missing, too large
    or outside of its folder.
    """
    found = NotebookTurns()
    notebook, folder = await asyncio.to_thread(_read, path)
    preferences = from_metadata(notebook.get("metadata"), where="the notebook")
    with contextlib.chdir(folder):  # where its kernel would run
        for source in _sources(notebook):
            cell = parse(source)
            for line in cell.lines:
                _line(line, found, settings, folder)
            if cell.prompt:
                found.prompts.append(await _prompt(cell.prompt, found, settings, folder, preferences))
    if not found.prompts:
        raise InvalidRequest(f"{path.name} has no prompt.", hint="Name a notebook with the Agent kernel.")
    return found


def _read(path: Path) -> tuple[Mapping[str, Any], Path]:
    """Return the notebook and its folder."""
    try:
        if path.stat().st_size > LARGEST:
            raise InvalidRequest(f"{path.name} is larger than {LARGEST >> 20} MiB.")
        notebook = json.loads(path.read_bytes())
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"{path.name} is not a notebook.", hint="Name an .ipynb file.") from error
    if not isinstance(notebook, dict) or not isinstance(notebook.get("cells"), list):
        raise InvalidRequest(f"{path.name} is not a notebook.", hint="Name an .ipynb file.")
    return notebook, path.resolve().parent


def _sources(notebook: Mapping[str, Any]) -> Iterator[str]:
    for cell in notebook["cells"]:
        if isinstance(cell, dict) and cell.get("cell_type") == "code":
            source = cell.get("source")
            parts = source if isinstance(source, list) else [source]
            yield "".join(part for part in parts if isinstance(part, str))


def _line(line: MagicLine | ShellLine, found: NotebookTurns, settings: KernelSettings, folder: Path) -> None:
    if isinstance(line, ShellLine):
        found.prompts.append(_run("shell", line.command))
    elif line.name in _RUN:
        found.prompts.append(_run(_RUN[line.name], line.arguments.partition("\n")[2]))
    elif line.name == "upload" and not line.asks:
        _add(found, find_uploads(line.arguments, settings).uploads, folder)
    else:
        found.ignored.add(f"%{line.name}")


def _run(language: str, text: str) -> ReplayPrompt:
    tools = [_SHELL] if language == "shell" else [_SHELL, _code_tool(language)]
    fields = {"input": [_message([{"type": "input_text", "text": text}])]}
    return ReplayPrompt(text, fields, tools, DIRECT if language == "shell" else PYTHON)


def _code_tool(language: str) -> Mapping[str, Any]:
    ours = {"language": language} if language != "python" else {}
    return {"type": "code_interpreter", "agent_kernel": ours}


async def _prompt(
    text: str, found: NotebookTurns, settings: KernelSettings, folder: Path, preferences: Preferences
) -> ReplayPrompt:
    uploads = find_mentioned(text, settings).uploads if "@" in text else []
    _add(found, uploads, folder)
    asked = heads(text) if uploads else {}
    blocks = [await head(each, asked[each.file.path]) for each in uploads if each.file.path in asked]
    seen = [await picture(each) for each in uploads]
    pictures = [each for each in seen if isinstance(each, PromptPicture)]
    made = Prompt("\n\n".join([text.replace("\\@", "@"), *blocks]), pictures)
    fields: dict[str, Any] = {"input": [_message(made.content())], "agent_kernel": _limits(preferences)}
    told = "\n\n".join(filter(None, (settings.instructions, preferences.instructions)))
    tools = [_SHELL, *([_code_tool("python")] if settings.python else [])]
    return ReplayPrompt(text, {**fields, **({"instructions": told} if told else {})}, tools)


def _limits(preferences: Preferences) -> Mapping[str, Any]:
    approval = preferences.approval.to_json() if preferences.approval is not None else None
    given = {"budget": preferences.budget, "approval": approval}
    return {name: value for name, value in given.items() if value}


def _message(content: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    return {"type": "message", "role": "user", "content": [*content]}


def _add(found: NotebookTurns, uploads: Sequence[PendingUpload], folder: Path) -> None:
    for each in uploads:
        path = (folder / each.file.path).resolve()
        if not path.is_relative_to(folder):
            raise InvalidRequest(
                f"The notebook uploads {each.file.path}, which is not in its folder.",
                hint="Copy the file into the folder of the notebook, if it may be shown to the models.",
            )
        file = replace(each.file, path=path)
        found.uploads[each.target] = CopiedFile(each.target, file.size, partial(read_chunks, file))
