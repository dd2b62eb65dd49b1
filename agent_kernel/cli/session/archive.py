"""`agent-kernel session export ID FILE`: write a session into one archive; see docs/session-archive.md."""

from __future__ import annotations

import argparse
import asyncio
import signal
import socket
import sys
from collections.abc import AsyncGenerator, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from agent_kernel import config
from agent_kernel.cli import flags
from agent_kernel.cli.checkpoints import size as size_of
from agent_kernel.cli.opened import Opened, containers_on
from agent_kernel.config import Settings
from agent_kernel.errors import InvalidRequest

if TYPE_CHECKING:
    from agent_kernel.runtime.archive.contents import ArchivedSession
    from agent_kernel.runtime.archive.exporting import ExportedContents, ExportSource
    from agent_kernel.sandboxes.channel import Channel
    from agent_kernel.store.records import ContainerRow

T = TypeVar("T")

MOST_LISTED = 30

SHOWN_GROUPS = ("ModelSettings", "SandboxSettings", "ContainerSettings", "BudgetSettings", "KernelSettings")
LOCAL = ("audit", "mounts", "upstream_url", "anthropic_url", "upstreams", "network_allow", "network_presets")
"""Settings that say something about this machine, or may hold a secret."""


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of an archive."""
    parser.add_argument("--yes", action="store_true", help="export also what looks like a secret")
    parser.add_argument("--notebook", metavar="FILE", help="the notebook to put into the archive")
    parser.add_argument(
        "--no-snapshots", action="store_true", help="leave out the files that cells can go back to"
    )


def export(arguments: argparse.Namespace, target: Path) -> int:
    """Write the archive and return the exit code."""
    settings = flags.load(arguments)
    given = Path(arguments.notebook) if arguments.notebook else None
    absolute = target.absolute()
    flags_ = {"yes": arguments.yes, "snapshots": not arguments.no_snapshots}
    written = run_interruptibly(_exported(settings, arguments.id, absolute, given, **flags_))
    print(written)
    return 0


def run_interruptibly(work: Coroutine[Any, Any, T]) -> T:
    """Run until it ends. SIGTERM cancels it as Ctrl-C does, so that it leaves nothing behind."""

    async def run() -> T:
        task = asyncio.current_task()
        if task is not None:
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        return await work

    try:
        return asyncio.run(run())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


async def _exported(
    settings: Settings, name: str, target: Path, notebook: Path | None, *, yes: bool, snapshots: bool
) -> str:
    from agent_kernel.cli.session.found import archived_session
    from agent_kernel.runtime.archive.exporting import collect
    from agent_kernel.runtime.archive.writing import ArchiveWriter

    opened = Opened(settings)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(opened.aclose)
        session = await archived_session(opened.store, name)
        source = await _source(opened, session, stack)
        if not snapshots:
            source = replace(source, most_snapshots=0)
        notebook = notebook or _own_notebook(session)
        with ArchiveWriter(target) as writer, writer.errors():
            shown = ExportProgress()
            contents = await collect(session, source, writer, notebook, shown.at)
            shown.end()
            _ask(contents, yes=yes)
            manifest, digest = await asyncio.to_thread(writer.finish, contents.left_out)
        opened.audit.write(
            "export", session=session.id, container=session.container_id, file=str(target),
            sha256=digest,
        )  # fmt: skip
        return _summary(target, contents, sum(each.size for each in manifest.members))


async def _source(opened: Opened, session: ArchivedSession, stack: AsyncExitStack) -> ExportSource:
    from agent_kernel.cli.session.chain import filled
    from agent_kernel.runtime.archive.exporting import ExportSource
    from agent_kernel.runtime.archive.likely_secrets import HeldSecrets

    settings = opened.settings
    source = ExportSource(
        opened.store,
        None,
        audit=opened.audit.path,
        settings=shown_settings(settings),
        held=HeldSecrets(settings.secrets()),
        filled=lambda rows: filled(opened.parts, settings, rows),
    )
    if session.container_id is None:
        return replace(source, unusable="A container: the session has none")
    row = await opened.store.container(session.container_id)
    if row is None:
        return replace(source, unusable=f"The container {session.container_id}: it was deleted")
    return await _with_container(opened, source, row, session.state, stack)


async def _with_container(
    opened: Opened, source: ExportSource, row: ContainerRow, state: object, stack: AsyncExitStack
) -> ExportSource:
    backend = next((each for each in opened.backends if each.name == row.backend), None)
    if backend is None:
        raise InvalidRequest(
            f"The session's container runs on {row.backend}, which the settings do not allow.",
            hint=f"Add --sandbox {row.backend}",
        )
    containers = await stack.enter_async_context(containers_on(opened, backend))
    if not await containers.is_alive(row.id):
        return replace(source, unusable=f"The container {row.id}: it has expired, and no checkpoint is left")
    able = backend.capabilities()
    image = {"image": able.image, "image_digest": able.image_digest, "isolation": able.isolation}
    named = texts_in(state)
    snapshots = [each.id for each in await containers.snapshots(row.id) if each.id in named]

    @asynccontextmanager
    async def at(snapshot_id: str) -> AsyncGenerator[Channel, None]:
        copy = await containers.fork(row.id, snapshot_id=snapshot_id, name="export")
        try:
            async with containers.use(copy.id, to_run=True) as channel:
                yield channel
        finally:
            await asyncio.shield(containers.delete(copy.id))

    return replace(
        source, use=containers.use, container=row, image=image, snapshots=snapshots, at=at
    )  # fmt: skip


def texts_in(value: object) -> set[str]:
    """Return all texts in a JSON value."""
    if isinstance(value, str):
        return {value}
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return {text for each in inner for text in texts_in(each)}


def shown_settings(settings: Settings) -> dict[str, Any]:
    """Return the settings that an archive shows: no secrets, and no paths of this machine."""
    groups = {type(group).__name__: group for group in vars(settings).values()}
    return {
        setting.name: value
        for setting in config.catalogue()
        if setting.group in SHOWN_GROUPS
        and setting.name not in LOCAL
        and not setting.trait.metadata.get("secret")
        and isinstance(value := getattr(groups.get(setting.group), setting.name, None), str | int | float)
        and not _is_path(value)
    }


def _is_path(value: object) -> bool:
    """Return whether a value looks like a path; the name of a model has one slash at most."""
    return isinstance(value, str) and (value.count("/") > 1 or value.startswith(("/", "~")))


def _own_notebook(session: ArchivedSession) -> Path | None:
    """Return the file of the session's notebook, named as `MACHINE:PATH`, if it is on this machine."""
    machine, _, name = session.notebook.partition(":")
    path = Path(name)
    here = machine == socket.gethostname() and path.suffix == ".ipynb" and path.is_absolute()
    return path if here and path.is_file() else None


def _ask(contents: ExportedContents, *, yes: bool) -> None:
    """List what may be secret, and ask. Raises `InvalidRequest` for a no, and if nobody can be asked."""
    from agent_kernel.runtime.archive.likely_secrets import listed

    if not contents.secrets:
        return
    print("These may be secrets, and would be in the archive:", file=sys.stderr)
    print(listed(contents.secrets[:MOST_LISTED]), file=sys.stderr)
    if len(contents.secrets) > MOST_LISTED:
        print(f"  and {len(contents.secrets) - MOST_LISTED:,} more", file=sys.stderr)
    if yes:
        return
    if not sys.stdin.isatty():
        raise InvalidRequest(
            "Nothing was exported, because nobody could be asked about likely secrets.",
            hint="To export them, add --yes. Or remove them from the container first.",
        )
    print("Export them? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise InvalidRequest("Nothing was exported.")


def _summary(target: Path, contents: ExportedContents, size: int) -> str:
    files = f", {contents.tree.files:,} files" if contents.tree is not None else ""
    lines = [f"{target}: {contents.turns:,} turn{'' if contents.turns == 1 else 's'}{files}, {size_of(size)}"]
    if contents.left_out:
        lines.append("Not in it:")
        lines += [f"  {printable(each)}" for each in contents.left_out[:MOST_LISTED]]
        if len(contents.left_out) > MOST_LISTED:
            lines.append(f"  and {len(contents.left_out) - MOST_LISTED:,} more")
    return "\n".join(lines)


def printable(text: str) -> str:
    """Return a text from a container or an archive without what a terminal would obey."""
    return "".join(each if each.isprintable() else "?" for each in text)


class ExportProgress:
    """Says on standard error what is being read, at each snapshot and every 64 MB; one line of a terminal."""

    STEP = 64 << 20

    def __init__(self) -> None:
        self._what = "Files"
        self._next = self.STEP
        self._shown = False

    def at(self, what: str, size: int) -> None:
        """Take note of what is being read, and of the size so far."""
        if size >= self._next or what != self._what:
            self._next = size + self.STEP
            self._shown, self._what = True, what
            end = "\r" if sys.stderr.isatty() else "\n"
            print(f"{what}: {size_of(size)} so far", end=end, file=sys.stderr, flush=True)

    def end(self) -> None:
        """End the line."""
        if self._shown and sys.stderr.isatty():
            print(file=sys.stderr)
