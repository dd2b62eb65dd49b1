"""The lines that a cell may begin with: `%name arguments`. One table has them all."""

from __future__ import annotations

import difflib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent_kernel.errors import InvalidRequest

if TYPE_CHECKING:
    from agent_kernel.kernel.outputs import CellOutputs
    from agent_kernel.kernel.render import Bundle
    from agent_kernel.kernel.session import Session

Run = Callable[["Session", "CellOutputs", str], Awaitable[None]]
"""Carry out a magic with its arguments. Raises any `AgentKernelError`."""


@dataclass(frozen=True)
class Magic:
    """One magic: how it is written, what it does in a line, and what more there is to say."""

    usage: str
    summary: str
    run: Run
    more: str = ""

    @property
    def help(self) -> str:
        """All of it, as plain text."""
        return f"{self.usage}\n{self.summary}" + (f"\n\n{self.more}" if self.more else "")


async def _upload(session: Session, outputs: CellOutputs, arguments: str) -> None:
    from agent_kernel.kernel.render import note
    from agent_kernel.kernel.text import code, size
    from agent_kernel.kernel.uploads import find_uploads, read_chunks

    uploads = find_uploads(arguments, limit=session.settings.max_upload)
    container_id, _ = await session.container(outputs)
    files = (await session.runtime()).containers.files
    for upload in uploads:
        content = read_chunks(upload)
        file = await files.create(container_id, path=upload.path.name, content=content, size=upload.size)
        session.tell_model(f"The person uploaded a file: {file.path} ({file.bytes} bytes).")
        outputs.emit(note(f"Uploaded {code(upload.path.name)} ({size(file.bytes)}) to {code(file.path)}"))


async def _files(session: Session, outputs: CellOutputs, arguments: str) -> None:
    from agent_kernel.kernel.artifacts import LISTED, short_path, snapshot
    from agent_kernel.kernel.render import note, table
    from agent_kernel.kernel.text import size

    _no_arguments("files", arguments)
    container_id, _ = await session.container(outputs)
    found = await snapshot((await session.runtime()).containers.files, container_id)
    rows = [[short_path(path), size(file.bytes)] for path, file in sorted(found.files.items())]
    if not rows:
        outputs.emit(note("There are no files in `/mnt/data`."))
        return
    caption = "" if found.complete else f"The {LISTED:,} newest files:"
    outputs.emit(table(["file in /mnt/data", "size"], rows, caption).bundle())


async def _model(session: Session, outputs: CellOutputs, arguments: str) -> None:
    from agent_kernel.kernel.render import note
    from agent_kernel.kernel.text import code

    if arguments:
        session.model = arguments
        outputs.emit(note(f"From here on cells talk to {code(arguments)}."))
        return
    names = await (await session.runtime()).models()
    current = f"Cells talk to {code(session.model)}." if session.model else "The runtime chooses the model."
    known = ", ".join(code(name) for name in names)
    outputs.emit(note(f"{current} Known: {known}." if known else current))


async def _container(session: Session, outputs: CellOutputs, arguments: str) -> None:
    from agent_kernel.kernel.render import note, table

    _no_arguments("container", arguments)
    if session.container_id is None:
        outputs.emit(note("There is no container yet; the first prompt, upload or command makes one."))
        return
    container = await (await session.runtime()).containers.retrieve(session.container_id)
    minutes = container.expires_after.minutes if container.expires_after else None
    rows = [["id", container.id], ["name", container.name], ["status", container.status]]
    if minutes:
        rows.append(["expires", f"{minutes} minutes after this kernel has gone"])
    if container.memory_limit:
        rows.append(["memory", container.memory_limit])
    outputs.emit(table(["container", ""], rows).bundle())


async def _help(session: Session, outputs: CellOutputs, arguments: str) -> None:
    from agent_kernel.kernel.render import table

    name = arguments.removeprefix("%").strip()
    if name:
        outputs.emit(_help_on(find(name)))
        return
    head = (
        "A cell is a prompt: the model reads it, runs commands in this notebook's own container, and "
        "answers. Files, variables and the conversation stay from cell to cell. Above the prompt a cell may "
        "have these lines:"
    )
    rows = [[magic.usage, magic.summary] for magic in MAGICS.values()]
    rows.append(["!COMMAND", "Run a command in the container's shell; the model sees it and its output."])
    outputs.emit(table(["line", "what it does"], rows, head).bundle())


def _help_on(magic: Magic) -> Bundle:
    from agent_kernel.kernel.render import Shown, pre
    from agent_kernel.kernel.text import fence

    return Shown(pre(magic.help), fence(magic.help, "text"), magic.help).bundle()


def _no_arguments(name: str, arguments: str) -> None:
    if arguments:
        raise InvalidRequest(f"%{name} takes no arguments.", mend="A prompt goes on the lines below it.")


MAGICS: dict[str, Magic] = {
    "upload": Magic(
        "%upload PATH ...",
        "Copy files of yours into the container, to /mnt/data.",
        _upload,
        "Relative paths are taken from the notebook's folder; patterns like data/*.csv are expanded. All "
        "files are looked at first: if one is missing or too large, none is copied.",
    ),
    "files": Magic("%files", "List the files in the container.", _files),
    "model": Magic(
        "%model [NAME]",
        "Say which model cells talk to, or change it for the cells below.",
        _model,
        "Names: openai/NAME, responses/NAME, chat/NAME, ollama/NAME, scripted/FILE.",
    ),
    "container": Magic("%container", "Say what is known of the notebook's container.", _container),
    "help": Magic("%help [NAME]", "Say what a cell can do, or more about one of these lines.", _help),
}


def find(name: str) -> Magic:
    """The magic of that name. Raises `InvalidRequest` naming those there are, the nearest first."""
    if name in MAGICS:
        return MAGICS[name]
    known = ", ".join(f"%{each}" for each in MAGICS)
    near = difflib.get_close_matches(name.lstrip("%"), MAGICS, n=1, cutoff=0.5)
    guess = f"Did you mean %{near[0]}? " if near else ""
    raise InvalidRequest(
        f"There is no magic %{name}.",
        mend=f"{guess}There are {known}; !COMMAND runs a command in the container.",
    )
