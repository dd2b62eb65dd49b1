"""`%download`: copies files from the container to the notebook's folder or a given path.

Names from the container are not trusted: files are written only below the folder that the user named, never
through a link, and replace existing ones only with `--force`.
"""

from __future__ import annotations

import asyncio
import contextlib
import glob
import hashlib
import os
import secrets
import shlex
import shutil
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO

from agent_kernel.errors import InvalidRequest
from agent_kernel.kernel.render.text import clean, code, size
from agent_kernel.kernel.transfer.host_files import expanded
from agent_kernel.kernel.transfer.patterns import matches, split
from agent_kernel.kernel.transfer.uploads import NAMED, UploadProgress

if TYPE_CHECKING:
    from openai.types.containers import FileCreateResponse

    from agent_kernel.kernel.outputs import CellOutputs
    from agent_kernel.kernel.transfer.base import FileSharer
    from agent_kernel.runtime.base import ContainerFiles, Runtime

WORKSPACE = PurePosixPath("/mnt/data")
Files = Mapping[str, "FileCreateResponse"]


@dataclass(frozen=True)
class Wish:
    """The parsed arguments of `%download`."""

    pattern: str
    to: str
    force: bool

    @classmethod
    def read(cls, arguments: str) -> Wish:
        """Parse `NAME [TO] [--force]`. Raises `InvalidRequest`."""
        example = "For example: %download report.md, or %download 'out/*.csv' results/ --force"
        try:
            words = shlex.split(arguments)
        except ValueError as error:
            raise InvalidRequest(
                f"The arguments of %download cannot be read: {error}.", hint=example
            ) from error
        unknown = [word for word in words if word.startswith("--") and word != "--force"]
        if unknown:
            raise InvalidRequest(f"%download does not know {unknown[0]}.", hint="Use --force.")
        names = [word for word in words if word != "--force"]
        if not 1 <= len(names) <= 2:
            raise InvalidRequest("%download needs a file name, and optionally a target.", hint=example)
        return cls(names[0], names[1] if len(names) == 2 else "", "--force" in words)


@dataclass(frozen=True)
class Download:
    """A file of the container and its target: `target` below `base`, the folder that the user named."""

    file: FileCreateResponse
    base: Path
    target: PurePosixPath

    @property
    def path(self) -> Path:
        """The path to write."""
        return self.base / self.target


def plan(wish: Wish, files: Files) -> list[Download]:
    """Return the downloads to make, all checked before the first byte is read.

    A single file goes to `TO`, or into it if it is a folder. A pattern's matches go into `TO` with the folder
    tree below the part before the first wildcard. Raises `InvalidRequest`.
    """
    pattern = str(WORKSPACE / wish.pattern)  # an absolute path stays
    to = expanded(wish.to) if wish.to else Path()
    if pattern in files:
        name = PurePosixPath(pattern)
        into = not wish.to or wish.to.endswith("/") or to.is_dir()
        base, target = (to, name.name) if into else (to.parent, to.name)
        found = [Download(files[pattern], base, _safe(PurePosixPath(target)))]
    else:
        root = PurePosixPath(*split(PurePosixPath(pattern).parts)[0])
        chosen = [path for path in sorted(files) if _matches(path, pattern)]
        found = [Download(files[path], to, _safe(PurePosixPath(path).relative_to(root))) for path in chosen]
    if not found:
        raise InvalidRequest(
            f"There is no file {clean(wish.pattern)} in the container.", hint=_nearest(wish.pattern, files)
        )
    _check(found, wish)
    return found


def _matches(path: str, pattern: str) -> bool:
    """Match as a shell does, with `**` across folders and no hidden names; a folder matches its files."""
    names, patterns = list(PurePosixPath(path).parts), list(PurePosixPath(pattern).parts)
    if not glob.has_magic(pattern):
        below = names[len(patterns) :]
        return names[: len(patterns)] == patterns and not any(name.startswith(".") for name in below)
    return matches(names, patterns)


def _safe(target: PurePosixPath) -> PurePosixPath:
    """Return the path unchanged. Raises `InvalidRequest` for a name unsafe on the user's disk."""
    text = str(target)
    unwritable = clean(text) != text or "\n" in text or "\ufffd" in text
    if target.is_absolute() or ".." in target.parts or unwritable:
        raise InvalidRequest(
            f"The container has a file called {clean(text)!r}, which is not safe to write here.",
            hint="Rename it in the container first: !mv ...",
        )
    return target


def _nearest(pattern: str, files: Files) -> str:
    import difflib

    names = {str(PurePosixPath(path).relative_to(WORKSPACE)): path for path in files}
    near = difflib.get_close_matches(pattern, names, n=3, cutoff=0.5)
    guess = "Did you mean " + " or ".join(map(clean, near)) + "? " if near else ""
    return f"{guess}%files lists them."


def _check(found: list[Download], wish: Wish) -> None:
    for download in found:
        path = download.path
        _check_folders(download)
        if path.is_symlink() or (os.path.lexists(path) and not path.is_file()):
            raise InvalidRequest(f"{path} exists and is not a plain file. Nothing was downloaded.")
        if path.exists() and not wish.force:
            raise InvalidRequest(
                f"{path} already exists. Nothing was downloaded.",
                hint="Add --force to replace it, or give a target: %download NAME TO",
            )
    total = sum(download.file.bytes for download in found)
    existing = next(p for p in (found[0].base.absolute(), *found[0].base.absolute().parents) if p.exists())
    free = shutil.disk_usage(existing).free
    if total > free:
        raise InvalidRequest(f"The download needs {size(total)}, but the disk has {size(free)} left.")


def _check_folders(download: Download) -> None:
    """Raise `InvalidRequest` if a folder between the user's folder and the file is a link or a file."""
    for parent in list(download.target.parents)[:-1]:
        folder = download.base / parent
        if folder.is_symlink() or (os.path.lexists(folder) and not folder.is_dir()):
            raise InvalidRequest(f"{folder} exists and is not a folder. Nothing was downloaded.")


async def fetch(notebook: FileSharer, outputs: CellOutputs, wish: Wish) -> None:
    """Download the files. Raises `InvalidRequest` and what `ContainerFiles` raises.

    Each file is written completely or not at all, even after an interrupt. Files already complete are kept.
    """
    from agent_kernel.kernel.render.bundles import note
    from agent_kernel.kernel.render.files.artifacts import listed

    if notebook.container.id is None:
        raise InvalidRequest(
            "There is no container yet, so there is nothing to download.",
            hint="The first prompt, upload or command creates one.",
        )
    container_id = (await notebook.container.open(outputs)).id
    source = (await notebook.runtime()).containers.files
    files = {file.path: file async for file in listed(source, container_id)}
    downloads = await asyncio.to_thread(plan, wish, files)
    progress = UploadProgress(outputs, "Downloading", sum(each.file.bytes for each in downloads))
    done: list[Download] = []
    try:
        for download in downloads:
            await _write(source, download, progress, force=wish.force)
            done.append(download)
    finally:
        for download in done if len(done) <= NAMED else []:
            outputs.emit(note(f"Downloaded {code(str(download.path))} ({size(download.file.bytes)})"))
        if len(done) > NAMED:
            total = size(sum(each.file.bytes for each in done))
            outputs.emit(note(f"Downloaded {len(done):,} files ({total}) to {code(str(done[0].base))}"))


def check_target(to: str, *, force: bool) -> None:
    """Raise `InvalidRequest` if a file cannot be written to the path `to`."""
    path = expanded(to)
    if to.endswith("/") or path.is_symlink() or (os.path.lexists(path) and not path.is_file()):
        raise InvalidRequest(f"{path} is not a plain file. Nothing was written.", hint="Give another name.")
    if path.exists() and not force:
        raise InvalidRequest(
            f"{path} already exists. Nothing was written.",
            hint="Add --force to replace it, or give another name.",
        )


async def save(
    runtime: Runtime, file: FileCreateResponse, to: str, outputs: CellOutputs, *, force: bool
) -> None:
    """Write one file of the container to the path `to`, completely or not at all.

    Raises `InvalidRequest`, and what `ContainerFiles.content` raises.
    """
    path = expanded(to)
    download = Download(file, path.parent, PurePosixPath(path.name))
    progress = UploadProgress(outputs, "Downloading", file.bytes)
    await _write(runtime.containers.files, download, progress, force=force)


async def _write(
    source: ContainerFiles, download: Download, progress: UploadProgress, *, force: bool
) -> None:
    """Stream into a new file in the target's folder, then rename it atomically."""
    path = download.path
    part = path.with_name(f".{path.name[:80]}.{secrets.token_hex(4)}.part")
    progress.name = path.name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _check_folders(download)
        with part.open("xb") as file:
            count, digest = 0, hashlib.sha256()
            async with aclosing(source.content(download.file.container_id, download.file.id)) as chunks:
                async for chunk in chunks:
                    await asyncio.to_thread(file.write, chunk)
                    digest.update(chunk)
                    count += len(chunk)
                    progress.add(len(chunk))
            if count != download.file.bytes:
                raise InvalidRequest(
                    f"{clean(download.file.path)} was changed while it was read. It was not written.",
                    hint="Run the cell again when nothing writes to the file.",
                )
            await asyncio.to_thread(_complete, file, part, digest.hexdigest())
        _place(part, path, force=force)
    except OSError as error:
        raise InvalidRequest(
            f"{path} cannot be written: {error.strerror}.", hint="Give another target: %download NAME TO"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def _complete(file: BinaryIO, part: Path, digest: str) -> None:
    """Flush the file and verify its digest. Raises `OSError` if the disk has other content."""
    file.flush()  # fsync writes what the system has, not what is still in Python's buffer
    os.fsync(file.fileno())
    with part.open("rb") as written:
        if hashlib.file_digest(written, "sha256").hexdigest() != digest:
            raise OSError(0, "what was written is not what was read")


def _place(part: Path, path: Path, *, force: bool) -> None:
    if force:
        part.replace(path)
        return
    try:
        os.link(part, path, follow_symlinks=False)  # fails if a file has been created there meanwhile
    except FileExistsError as error:
        raise InvalidRequest(
            f"{path} already exists. It was not changed.", hint="Add --force to replace it."
        ) from error
