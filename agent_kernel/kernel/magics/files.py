"""Magics for files: `%upload`, `%download`, `%files`."""

from __future__ import annotations

import asyncio
import difflib
from typing import TYPE_CHECKING

from agent_kernel.errors import InvalidRequest

if TYPE_CHECKING:
    from agent_kernel.kernel.notebook import Notebook
    from agent_kernel.kernel.outputs import CellOutputs


async def upload(notebook: Notebook, outputs: CellOutputs, arguments: str) -> None:
    """Upload the named files; see `uploads.send`."""
    from agent_kernel.kernel.transfer.uploads import find_uploads, send

    await send(notebook, outputs, await asyncio.to_thread(find_uploads, arguments, notebook.settings))


async def download(notebook: Notebook, outputs: CellOutputs, arguments: str) -> None:
    """Download the named files; see `downloads.fetch`."""
    from agent_kernel.kernel.transfer.downloads import Wish, fetch

    await fetch(notebook, outputs, Wish.read(arguments))


async def files(notebook: Notebook, outputs: CellOutputs, arguments: str) -> None:
    """Show the files in the container, or in one of its folders."""
    from agent_kernel.kernel.render.bundles import ShownItem, note, pre
    from agent_kernel.kernel.render.files.artifacts import short_path, snapshot
    from agent_kernel.kernel.render.files.file_tree import tree
    from agent_kernel.kernel.render.text import clean, fence

    container_id = (await notebook.container.open(outputs)).id
    found = await snapshot((await notebook.runtime()).containers.files, container_id)
    sizes = {short_path(path): file.bytes for path, file in found.files.items()}
    folder = arguments.removeprefix("/mnt/data").strip("/")
    if folder:
        within = {path[len(folder) + 1 :]: n for path, n in sizes.items() if path.startswith(folder + "/")}
        if not within:
            raise _no_folder(folder, list(sizes))
        sizes = within
    if not sizes:
        outputs.result(note("There are no files in `/mnt/data`."))
        return
    text = tree(f"/mnt/data/{clean(folder)}".rstrip("/"), sizes, complete=found.complete)
    outputs.result(ShownItem(pre(text), fence(text, "text"), text).bundle())


def _no_folder(folder: str, paths: list[str]) -> InvalidRequest:
    folders = sorted({path.rpartition("/")[0] for path in paths if "/" in path})
    near = difflib.get_close_matches(folder, folders, n=3, cutoff=0.4)
    hint = f"Folders: {', '.join(near or folders[:10])}." if folders else "%files alone lists all files."
    return InvalidRequest(f"There is no folder {folder} with files in the container.", hint=hint)
