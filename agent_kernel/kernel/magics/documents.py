"""The magic `%docs`: documents that the agent can search."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from agent_kernel.errors import CapabilityMissing, InvalidRequest, NotFound

if TYPE_CHECKING:
    from agent_kernel.kernel.notebook import Notebook
    from agent_kernel.kernel.outputs import CellOutputs
    from agent_kernel.runtime.library import Document, KeepsLibrary

CHECK = 0.2
"""Seconds between two looks at how far the server has indexed."""

_USAGE = "Use %docs, %docs add FILE… or %docs remove NAME…"

_STATES = {"in_progress": "being read", "failed": "not readable", "cancelled": "cancelled"}


async def documents(notebook: Notebook, outputs: CellOutputs, arguments: str) -> None:
    """Add, list or remove documents. Raises `InvalidRequest`."""
    word, _, rest = arguments.strip().partition(" ")
    if word == "add":
        await _add(notebook, outputs, rest)
    elif word == "remove":
        await _remove(notebook, outputs, rest)
    elif word:
        raise InvalidRequest(f"%docs does not know {word!r}.", hint=_USAGE)
    else:
        await _list(notebook, outputs)


async def _library(notebook: Notebook) -> KeepsLibrary:
    from agent_kernel.runtime.library import KeepsLibrary

    runtime = await notebook.runtime()
    if not isinstance(runtime, KeepsLibrary):
        raise CapabilityMissing("This runtime has no documents.", hint="Use a newer server.")
    return runtime


async def _add(notebook: Notebook, outputs: CellOutputs, arguments: str) -> None:
    from agent_kernel.kernel.render.bundles import note
    from agent_kernel.kernel.render.text import clean
    from agent_kernel.kernel.transfer.host_files import read_chunks
    from agent_kernel.kernel.transfer.uploads import find_uploads

    if not arguments.strip():
        raise InvalidRequest("%docs add needs a file.", hint="For example: %docs add papers/*.pdf")
    plan = await asyncio.to_thread(find_uploads, arguments, notebook.settings)
    library = await _library(notebook)
    store_id = await _store(notebook, library)
    known = notebook.documents.names
    added: list[str] = []
    for upload in plan.uploads:
        outputs.step(f"Adding {clean(upload.file.path.name)}")
        for same in [file_id for file_id, name in known.items() if name == upload.target]:
            await library.remove_document(store_id, same)
            del known[same]
        file_id = await library.add_document(store_id, upload.target, read_chunks(upload.file))
        known[file_id] = upload.target
        added.append(file_id)
    outputs.step("Reading the documents")
    ended = await _settled(library, store_id, added)
    for each in ended:
        if each.status != "completed":
            await library.remove_document(store_id, each.file_id)
    lines = [
        f"{clean(known.pop(each.file_id))} was not added. {clean(each.why or '')}".rstrip()
        for each in ended
        if each.status != "completed"
    ]
    good = sum(each.status == "completed" for each in ended)
    if good:
        what = "1 document" if good == 1 else f"{good} documents"
        lines.insert(0, f"Added {what}. The agent can search {len(known)} in all, and cites what it finds.")
    outputs.result(note("  \n".join(lines)))


async def _settled(library: KeepsLibrary, store_id: str, wanted: Sequence[str]) -> list[Document]:
    """Wait until the documents are indexed or refused, and return them."""
    while True:
        found = [each for each in await library.documents(store_id) if each.file_id in wanted]
        if all(each.status != "in_progress" for each in found):
            return found
        await asyncio.sleep(CHECK)


async def _store(notebook: Notebook, library: KeepsLibrary) -> str:
    """Return the notebook's vector store, made anew if it is gone."""
    mine = notebook.documents
    if mine.store_id is not None:
        try:
            await library.documents(mine.store_id)
        except NotFound:
            mine.store_id = None
            mine.names.clear()
    if mine.store_id is None:
        mine.store_id = await library.create_library("Documents of a notebook")
    return mine.store_id


async def _list(notebook: Notebook, outputs: CellOutputs) -> None:
    from agent_kernel.kernel.render.bundles import note
    from agent_kernel.kernel.render.definitions import definitions
    from agent_kernel.kernel.render.text import clean, size

    mine = notebook.documents
    if mine.store_id is None or not mine.names:
        outputs.result(note("There are no documents. `%docs add FILE` adds some."))
        return
    found = {each.file_id: each for each in await (await _library(notebook)).documents(mine.store_id)}
    rows = []
    for file_id, name in sorted(mine.names.items(), key=lambda each: each[1]):
        each = found.get(file_id)
        state = "deleted" if each is None else _STATES.get(each.status) or size(each.usage_bytes)
        rows.append((clean(name), state))
    outputs.result(definitions(("document", "text"), rows, "The agent can search these documents.").bundle())


async def _remove(notebook: Notebook, outputs: CellOutputs, arguments: str) -> None:
    from agent_kernel.kernel.magics.python import words_of
    from agent_kernel.kernel.render.bundles import note

    mine = notebook.documents
    words = words_of("%docs", arguments, _USAGE)
    wanted = set(mine.names.values()) if words == ["--all"] else set(words)
    if not words:
        raise InvalidRequest("%docs remove needs a name.", hint="%docs lists the documents; --all means all.")
    if unknown := wanted - set(mine.names.values()):
        raise InvalidRequest(f"There is no document {min(unknown)}.", hint="%docs lists the documents.")
    if not wanted or mine.store_id is None:
        raise InvalidRequest("There are no documents to remove.", hint="%docs add FILE adds some.")
    library = await _library(notebook)
    for file_id in [file_id for file_id, name in mine.names.items() if name in wanted]:
        await library.remove_document(mine.store_id, file_id)
        del mine.names[file_id]
    what = "1 document" if len(wanted) == 1 else f"{len(wanted)} documents"
    outputs.result(note(f"Removed {what}."))
