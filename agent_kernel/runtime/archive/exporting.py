"""The collection of a session into an archive: turns, files, shell, packages, audit, settings, notebook."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from agent_kernel.errors import AgentKernelError, InvalidRequest, SandboxError
from agent_kernel.runtime.archive import manifest as names
from agent_kernel.runtime.archive.audit import audit_entries
from agent_kernel.runtime.archive.contents import ArchivedResponse, ArchivedSession
from agent_kernel.runtime.archive.files import PackReport, packed
from agent_kernel.runtime.archive.likely_secrets import HeldSecrets, LikelySecret, SecretSearch
from agent_kernel.runtime.archive.packages import packages_of
from agent_kernel.runtime.archive.shell import save_shell
from agent_kernel.runtime.archive.tar import TarEntry
from agent_kernel.runtime.archive.tree import TreeLimits, TreeSize, check_tree
from agent_kernel.runtime.archive.writing import ArchiveWriter
from agent_kernel.sandboxes.channel import Channel
from agent_kernel.store.records import ContainerRow, ResponseRow
from agent_kernel.store.rows import Rows

LARGEST_NOTEBOOK = 64 << 20

Use = Callable[[str], AbstractAsyncContextManager[Channel]]
"""Holds the channel of a container; see `LocalContainers.use`."""


@dataclass(frozen=True)
class ExportSource:
    """Where a session is exported from.

    `use` is None if its container cannot be opened, and `unusable` says why. `settings` are shown in the
    archive; `held` are secrets that must not be in it.
    """

    rows: Rows
    use: Use | None
    container: ContainerRow | None = None
    image: Mapping[str, str] = field(default_factory=dict)
    unusable: str = ""
    audit: Path | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    held: HeldSecrets = field(default_factory=lambda: HeldSecrets(()))
    filled: Callable[[Sequence[ResponseRow]], Any] | None = None
    """Puts the data of uploaded files in place of their ids."""


@dataclass
class ExportedContents:
    """What is in an archive, what is not, and which of it may be secret."""

    turns: int = 0
    tree: TreeSize | None = None
    left_out: list[str] = field(default_factory=list)
    secrets: Sequence[LikelySecret] = ()


async def collect(
    session: ArchivedSession,
    source: ExportSource,
    writer: ArchiveWriter,
    notebook: Path | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> ExportedContents:
    """Collect a session. `progress` gets the bytes of files so far.

    Raises `InvalidRequest` for a conversation that is not whole or still runs, and for a file with a key of
    this installation; `SandboxError`. The container goes on meanwhile: what changes then may be half in it.
    """
    search, contents = SecretSearch(source.held), ExportedContents()
    rows = await _turns(session, source)
    contents.turns = len(rows)
    _add_lines(writer, names.RESPONSES, [asdict(_archived(row)) for row in rows], source.held, search)
    _add_json(writer, names.SESSION, asdict(session), source.held)
    _add_json(writer, names.SETTINGS, source.settings, source.held)
    entries = await asyncio.to_thread(
        audit_entries, source.audit, session.container_id, {row.id for row in rows}
    )
    if entries:
        writer.add(names.AUDIT, source.held.without("".join(entries)).encode())
    await _add_container(source, writer, contents, search, progress)
    _add_notebook(notebook, writer, contents, source.held)
    contents.secrets = search.found
    return contents


async def _turns(session: ArchivedSession, source: ExportSource) -> list[ResponseRow]:
    """Return the turns of all branches, each after the one that it continues."""
    found: dict[str, ResponseRow] = {}
    for head in filter(None, [session.response_id, *session.responses]):
        chain = await source.rows.chain(head)
        if not chain or chain[0].previous_id is not None:
            raise InvalidRequest(
                f"The conversation is not whole: a response that leads to {head} was deleted.",
                hint="Only whole conversations can be exported.",
            )
        for row in chain:
            if row.owner is not None:
                raise InvalidRequest(
                    f"A turn of this session is still running: {row.id}.",
                    hint="Wait for its end, or interrupt it.",
                )
            found[row.id] = row
    rows = list(found.values())
    return list(await source.filled(rows)) if source.filled is not None else rows


def _archived(row: ResponseRow) -> ArchivedResponse:
    return ArchivedResponse(
        row.id, row.created_at, row.status, row.model, row.previous_id, row.container_id, row.request,
        row.input, row.response,
    )  # fmt: skip


def _add_json(writer: ArchiveWriter, name: str, value: Any, held: HeldSecrets) -> None:
    writer.add(name, held.without(json.dumps(value, indent=1)).encode())


def _add_lines(
    writer: ArchiveWriter, name: str, values: Sequence[Any], held: HeldSecrets, search: SecretSearch
) -> None:
    with writer.path(name).open("w", encoding="utf-8") as file:
        for value in values:
            line = held.without(json.dumps(value))
            search.text("the conversation", line)
            file.write(line + "\n")


async def _add_container(
    source: ExportSource,
    writer: ArchiveWriter,
    contents: ExportedContents,
    search: SecretSearch,
    progress: Callable[[int], None],
) -> None:
    row = source.container
    if row is None or source.use is None:
        contents.left_out.append(source.unusable or "The session has no container.")
        return
    async with source.use(row.id) as channel:
        shell = None
        try:
            shell = await save_shell(channel)
        except SandboxError as error:
            contents.left_out.append(f"The shell's variables and functions: {error.message}")
        _add_json(writer, names.PACKAGES, await packages_of(channel), source.held)
        report = await _add_files(channel, writer, progress)
    if shell is not None:
        text = shell.state.decode("utf-8", "replace")
        search.variables(text)
        if source.held.within(shell.state):
            raise InvalidRequest(
                "A variable of the shell holds a key of this installation. Nothing was exported.",
                hint="Unset it, for example with: !unset NAME",
            )
        writer.add(names.SHELL, shell.to_json())
    described = {"id": row.id, "name": row.name, "backend": row.backend, "memory_limit": row.memory_limit}
    _add_json(writer, names.CONTAINER, {**described, **source.image}, source.held)
    contents.tree = await _checked(writer.path(names.FILES), search)
    contents.left_out += [f"{each.path}: {each.why}" for each in report.left_out]
    if report.count > len(report.left_out):
        contents.left_out.append(f"{report.count - len(report.left_out):,} more files")
    contents.left_out += [
        "Processes, and variables of Python and R sessions",
        "Files outside of /mnt/data, and installed packages: the archive lists them by name and version",
        "Snapshots of the container: cells and branches before now keep their conversation only",
    ]


async def _add_files(channel: Channel, writer: ArchiveWriter, progress: Callable[[int], None]) -> PackReport:
    report, size = PackReport(), 0
    with writer.path(names.FILES).open("xb") as file:
        async with aclosing(packed(channel, report)) as pieces:
            async for piece in pieces:
                size += len(piece)
                if size > TreeLimits().size:  # what is in there is checked later
                    raise SandboxError(f"The container's files have more than {TreeLimits().size:,} bytes.")
                await asyncio.to_thread(file.write, piece)
                progress(size)
    return report


async def _checked(path: Path, search: SecretSearch) -> TreeSize:
    """Check what the sandbox packed as an import will. A cancellation ends the check."""
    stopped = threading.Event()

    def content(entry: TarEntry, piece: bytes) -> None:
        if stopped.is_set():
            raise AgentKernelError("The export was stopped.")
        search(entry, piece)

    def check() -> TreeSize:
        with path.open("rb") as file:
            return check_tree(file, TreeLimits(), content)

    try:
        return await asyncio.to_thread(check)
    except BaseException:
        stopped.set()
        raise


def _add_notebook(
    notebook: Path | None, writer: ArchiveWriter, contents: ExportedContents, held: HeldSecrets
) -> None:
    if notebook is None:
        contents.left_out.append("The notebook's file: it is not known, or not on this machine")
        return
    try:
        if notebook.stat().st_size > LARGEST_NOTEBOOK:
            raise InvalidRequest(f"{notebook} is larger than {LARGEST_NOTEBOOK:,} bytes.")
        text = notebook.read_text(encoding="utf-8")
        names.read_object(text.encode(), str(notebook))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{notebook} cannot be read as a notebook: {error}.") from None
    writer.add(names.NOTEBOOK, held.without(text).encode())
