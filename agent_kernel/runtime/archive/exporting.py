"""The collection of a session into an archive: turns, files, shell, packages, audit, settings, notebook."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from agent_kernel.errors import InvalidRequest, SandboxError
from agent_kernel.runtime.archive import manifest as names
from agent_kernel.runtime.archive.audit import audit_entries
from agent_kernel.runtime.archive.contents import ArchivedResponse, ArchivedSession
from agent_kernel.runtime.archive.likely_secrets import HeldSecrets, LikelySecret, SecretSearch
from agent_kernel.runtime.archive.packages import packages_of
from agent_kernel.runtime.archive.packing import ArchivePacking, Progress
from agent_kernel.runtime.archive.tree import TreeSize
from agent_kernel.runtime.archive.writing import ArchiveWriter
from agent_kernel.sandboxes.channel import Channel
from agent_kernel.store.records import ContainerRow, ResponseRow
from agent_kernel.store.rows import Rows

LARGEST_NOTEBOOK = 64 << 20

Use = Callable[[str], AbstractAsyncContextManager[Channel]]
"""Holds the channel of a container; see `LocalContainers.use`."""


def _nowhere(snapshot_id: str) -> AbstractAsyncContextManager[Channel]:
    raise SandboxError(f"There is no snapshot {snapshot_id}.")


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
    snapshots: Sequence[str] = ()
    """The snapshots of the container that the session's state names, oldest first."""
    at: Use = _nowhere
    """Holds the channel of a copy of the container as it was at a snapshot."""
    most_snapshots: int = names.MOST_SNAPSHOTS
    """How many of the snapshots to take along, the newest; 0 for none."""


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
    progress: Progress = lambda _, __: None,
) -> ExportedContents:
    """Collect a session. `progress` gets what is being read, and the bytes of files so far.

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
    progress: Progress,
) -> None:
    row = source.container
    if row is None or source.use is None:
        contents.left_out.append(source.unusable or "The session has no container.")
        return
    with ArchivePacking(writer, search, source.held, contents.left_out, progress) as pack:
        async with source.use(row.id) as channel:
            _add_json(writer, names.PACKAGES, await packages_of(channel), source.held)
            contents.tree = await pack.add(channel, names.FILES, names.SHELL, "Files")
        await _add_snapshots(source, writer, contents, pack)
    described = {"id": row.id, "name": row.name, "backend": row.backend, "memory_limit": row.memory_limit}
    _add_json(writer, names.CONTAINER, {**described, **source.image}, source.held)
    contents.left_out += [
        "Processes, and variables of Python and R sessions",
        "Files outside of /mnt/data, and installed packages: the archive lists them by name and version",
    ]


async def _add_snapshots(
    source: ExportSource, writer: ArchiveWriter, contents: ExportedContents, pack: ArchivePacking
) -> None:
    """Add the newest snapshots that the front end can go back to, as far as there is room for them."""
    older = max(0, len(source.snapshots) - source.most_snapshots)
    newest = source.snapshots[older:]
    for number, snapshot in enumerate(newest):
        what = f"Snapshot {number + 1} of {len(newest)}"
        async with source.at(snapshot) as channel:
            await pack.add(channel, names.snapshot_files(number), names.snapshot_shell(number), what)
    if newest:
        _add_json(writer, names.SNAPSHOTS, {"snapshots": newest}, source.held)
    if older:
        which = "Older snapshots" if newest else "Snapshots"
        contents.left_out.append(f"{which} ({older}): cells before them keep their conversation only")


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
