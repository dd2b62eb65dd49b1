"""`agent-kernel session import FILE`: make a living session of an archive."""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from agent_kernel.cli import compose, flags
from agent_kernel.cli.opened import Opened, containers_on
from agent_kernel.cli.session.archive import printable, run_interruptibly
from agent_kernel.cli.session.target import check_target, write_errors
from agent_kernel.config import Settings
from agent_kernel.errors import ConfigurationError, InvalidRequest

if TYPE_CHECKING:
    from agent_kernel.runtime.archive.reading import SessionArchive


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the archive, and where its notebook goes."""
    parser.add_argument("file", metavar="FILE", help="the archive")
    parser.add_argument("--notebook", metavar="FILE", help="write the archive's notebook to this file")


def run(arguments: argparse.Namespace) -> int:
    """Make the session, say what is not as it was, and return the exit code."""
    from agent_kernel.runtime.archive.reading import opened_archive

    settings = flags.load(arguments)
    if settings.runtime.runtime_url:
        raise InvalidRequest(
            f"The settings name a server, {settings.runtime.runtime_url}, and an archive is imported into the"
            " store of this machine only.",
            hint="Copy the archive to the server's machine, and run this command there with the settings of"
            " `serve`; or unset AGENT_KERNEL_RUNTIME_URL.",
        )
    notebook = Path(arguments.notebook).absolute() if arguments.notebook else None
    if notebook is not None:
        check_target(notebook, force=False)
    with opened_archive(Path(arguments.file)) as archive:
        if notebook is not None and "notebook.ipynb" not in archive:
            raise InvalidRequest(
                "The archive has no notebook. Nothing was created.", hint="Leave out --notebook."
            )
        print(run_interruptibly(_imported(settings, archive, notebook)))
    return 0


async def _imported(settings: Settings, archive: SessionArchive, notebook: Path | None) -> str:
    from agent_kernel.runtime.archive.importing import SessionImport

    opened = Opened(settings)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(opened.aclose)
        backend, _ = await compose.choose_backend(settings)
        stack.push_async_callback(backend.aclose)
        containers = await stack.enter_async_context(containers_on(opened, backend))
        made = SessionImport(archive, opened.store, containers, settings.runtime.max_sessions)
        done = await made.run(f"{socket.gethostname()}:{notebook}" if notebook is not None else "")
        unwritten = _unwritten(notebook, archive) if notebook is not None else ""
    row = done.session
    where = (
        f"{done.files:,} files in {row.container_id} ({backend.name})" if row.container_id else "no container"
    )
    lines = [f"{row.id}: {done.turns:,} turn{'' if done.turns == 1 else 's'}, {where}"]
    lines += [f"  {printable(each)}" for each in (*done.notes, unwritten) if each]
    lines.append(f"To go on, run in a notebook: %session resume {row.id}")
    return "\n".join(lines)


@asynccontextmanager
async def imported_for_now(settings: Settings, path: Path) -> AsyncGenerator[str, None]:
    """Yield the id of a session that is made of an archive, and deleted at the end, also when cancelled.

    Raises as `opened_archive` and `SessionImport.run`.
    """
    from agent_kernel.runtime.archive.importing import SessionImport
    from agent_kernel.runtime.archive.reading import opened_archive
    from agent_kernel.runtime.deletion.deletion import SessionDeletion

    opened = Opened(settings)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(opened.aclose)
        backend, _ = await compose.choose_backend(settings)
        stack.push_async_callback(backend.aclose)
        containers = await stack.enter_async_context(containers_on(opened, backend))
        with opened_archive(path) as archive:
            made = SessionImport(archive, opened.store, containers, settings.runtime.max_sessions)
            session = (await made.run()).session
        try:
            yield session.id
        finally:
            deletion = SessionDeletion(opened.store, opened.parts.blobs, containers)
            await asyncio.shield(deletion.delete(session.id))


def _unwritten(path: Path, archive: SessionArchive) -> str:
    """Write the archive's notebook. Return why it was not written; empty if it was: the session is there."""
    try:
        with write_errors(path), open(path, "xb", opener=_private) as file:
            file.write(archive.text("notebook.ipynb"))
    except ConfigurationError as error:
        return f"The notebook {error.message}"
    return ""


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
