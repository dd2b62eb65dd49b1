"""`agent-kernel session delete ID`: remove everything that a session left on this machine."""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from agent_kernel.cli import compose, flags
from agent_kernel.cli.opened import Opened, containers_on
from agent_kernel.cli.session.archive import printable, run_interruptibly
from agent_kernel.config import Settings
from agent_kernel.errors import InvalidRequest

if TYPE_CHECKING:
    from agent_kernel.runtime.deleting import DeletedSession
    from agent_kernel.sandboxes.base import Backend
    from agent_kernel.store.records import SessionRow

MOST_OF_A_KIND = 3
"""The number of responses, checkpoints or files that are named one by one."""

_ONE = re.compile(r"the (?P<kind>response|checkpoint|uploaded file|conversation) [\w-]+")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the session."""
    parser.add_argument("id", metavar="ID", help="the session: its id or its name")
    parser.add_argument("--yes", action="store_true", help="do not ask")


def run(arguments: argparse.Namespace) -> int:
    """Delete the session, print what was removed, and return the exit code: 1 if something remains."""
    settings = flags.load(arguments)
    done = run_interruptibly(_deleted(settings, arguments.id, yes=arguments.yes))
    print(f"Removed:\n{_lines(summary(done.removed))}")
    if done.shared:
        print(f"Kept:\n{_lines(summary(done.shared))}")
    if done.remains:
        lines = _lines(done.remains)
        print(f"Not removed, or found again:\n{lines}\n  Run the command again.", file=sys.stderr)
        return 1
    print("A search of the store and of the engine found nothing else. The audit log has the whole list.")
    return 0


def summary(texts: Sequence[str]) -> list[str]:
    """Return each text, but a number in place of many of one kind, such as `the response resp_1`."""
    kinds = [found["kind"] if (found := _ONE.fullmatch(text)) else None for text in texts]
    many = {kind: number for kind, number in Counter(kinds).items() if kind and number > MOST_OF_A_KIND}
    return [
        f"{many[kind]:,} {kind}s" if kind in many else text
        for place, (kind, text) in enumerate(zip(kinds, texts, strict=True))
        if kind not in many or kind not in kinds[:place]
    ]


def _lines(texts: Sequence[str]) -> str:
    return "\n".join(f"  {printable(each)}" for each in texts)


async def _deleted(settings: Settings, name: str, *, yes: bool) -> DeletedSession:
    from agent_kernel.cli.session.found import find_session
    from agent_kernel.runtime.deletion.deletion import SessionDeletion

    opened = Opened(settings)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(opened.aclose)
        session = await find_session(opened.store, name)
        _ask(session, yes=yes)
        backend = await _backend(opened, session, stack)
        containers = await stack.enter_async_context(containers_on(opened, backend))
        documents = opened.parts.documents
        forget = documents.forget_file if documents is not None else None
        deletion = SessionDeletion(
            opened.store, opened.parts.blobs, containers, own_files=True, forget=forget
        )
        return await deletion.delete(session.id)


async def _backend(opened: Opened, session: SessionRow, stack: AsyncExitStack) -> Backend:
    """Return the backend of the session's container; without a container the one that is used here."""
    row = await opened.store.container(session.container_id) if session.container_id else None
    if row is None:
        backend, _ = await compose.choose_backend(opened.settings)
        stack.push_async_callback(backend.aclose)
        return backend
    found = next((each for each in opened.backends if each.name == row.backend), None)
    if found is None:
        raise InvalidRequest(
            f"The session's container runs on {row.backend}, which the settings do not allow.",
            hint=f"Add --sandbox {row.backend}",
        )
    return found


def _ask(session: SessionRow, *, yes: bool) -> None:
    """Ask before everything is gone. Raises `InvalidRequest` for a no, and if nobody can be asked."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise InvalidRequest("Nothing was deleted, because nobody could be asked.", hint="Add --yes")
    what = f"{session.id} ({session.name})" if session.name else session.id
    print(f"Delete {what} with its files and its conversation for good? [y/N] ", end="", file=sys.stderr)
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise InvalidRequest("Nothing was deleted.")
