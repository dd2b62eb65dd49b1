"""Uploads of the user's files: planning, sending and progress."""

from __future__ import annotations

import glob
import hashlib
import os
import shlex
import time
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agent_kernel.errors import InvalidRequest, TooLarge
from agent_kernel.kernel.render.text import clean, code, size
from agent_kernel.kernel.transfer.described import Description, describe
from agent_kernel.kernel.transfer.host_files import expanded, look, read_chunks, walk
from agent_kernel.kernel.transfer.originals import Copy
from agent_kernel.kernel.transfer.patterns import split
from agent_kernel.kernel.transfer.uploaded import PendingUpload

if TYPE_CHECKING:
    from agent_kernel.kernel.outputs import CellOutputs
    from agent_kernel.kernel.settings import KernelSettings
    from agent_kernel.kernel.transfer.base import FileSharer

SHOWN_FROM = 4 << 20
"""The smallest transfer in bytes that shows its progress."""

SHOWN_EVERY = 0.2
"""Seconds between two progress lines."""

NAMED = 8
"""The largest number of files that get one line each."""


@dataclass(frozen=True)
class Plan:
    """The uploads of one line or prompt, checked before the first byte; `left_out` as in `Found`."""

    uploads: list[PendingUpload]
    left_out: dict[str, int]

    def check(self, settings: KernelSettings) -> Plan:
        """Return the plan. Raises `TooLarge`, and `InvalidRequest` if one file would replace another."""
        for upload in self.uploads:
            if upload.file.size > settings.max_upload:
                raise TooLarge(
                    f"{upload.file.path} has {size(upload.file.size)}; the limit for one file is "
                    f"{size(settings.max_upload)}. Nothing was uploaded.",
                    hint="Upload it compressed or in parts, or raise KernelSettings.max_upload.",
                )
        total = sum(upload.file.size for upload in self.uploads)
        if total > settings.max_upload_total:
            raise TooLarge(
                f"The upload has {size(total)} in {len(self.uploads):,} files; the limit for one cell is "
                f"{size(settings.max_upload_total)}. Nothing was uploaded.",
                hint="Upload less of it, or raise KernelSettings.max_upload_total.",
            )
        double = next((name for name, n in Counter(u.target for u in self.uploads).items() if n > 1), None)
        if double:
            raise InvalidRequest(
                f"Two of the files are called {double}; in /mnt/data one would replace the other.",
                hint="Upload them from different folders by the folder's name, or rename one.",
            )
        return self


def find_uploads(arguments: str, settings: KernelSettings) -> Plan:
    """Return the uploads for the arguments: files, folders, patterns; quoted if they contain spaces.

    A file goes to /mnt/data by its name, a folder with its tree, a pattern's matches with the tree below the
    part before the first wildcard. No file is read. Raises `InvalidRequest` and `TooLarge`.
    """
    try:
        words = shlex.split(arguments)
    except ValueError as error:
        raise InvalidRequest(
            f"The arguments of %upload cannot be read: {error}.",
            hint="Quote names with spaces or quotation marks: %upload 'my file.csv'",
        ) from error
    if not words:
        raise InvalidRequest("%upload needs the path of a file.", hint="For example: %upload data/table.csv")
    return joined([find(word, settings) for word in words]).check(settings)


def joined(plans: Sequence[Plan]) -> Plan:
    """Return several plans as one."""
    left_out: Counter[str] = Counter()
    for plan in plans:
        left_out.update(plan.left_out)
    return Plan([upload for plan in plans for upload in plan.uploads], dict(left_out))


def find(word: str, settings: KernelSettings) -> Plan:
    """Return the uploads for one word of `%upload`."""
    path = expanded(word)
    if os.path.lexists(path) or not glob.has_magic(word):
        file = look(path)
        return Plan([PendingUpload(file, path.name)], {}) if file else folder(path, settings, _root(path))
    return _matching(word, path, settings)


def _matching(word: str, path: Path, settings: KernelSettings) -> Plan:
    fixed, pattern = split(path.parts)
    base = Path(*fixed)
    if base != Path() and look(base) is not None:
        raise InvalidRequest(
            f"{base} is not a folder.", hint="A pattern needs a folder before its first wildcard."
        )
    found = walk(base, most=settings.max_files, pattern=pattern)
    if not found.files:
        raise InvalidRequest(
            f"No file matches {word} in {Path.cwd()}.", hint="`**/*.csv` also searches folders."
        )
    uploads = [PendingUpload(file, file.path.relative_to(base).as_posix()) for file in found.files]
    return Plan(uploads, found.left_out)


def folder(path: Path, settings: KernelSettings, root: str) -> Plan:
    """Return uploads of a folder's plain files to `root` below /mnt/data. Raises `InvalidRequest` if none."""
    found = walk(path, most=settings.max_files)
    if not found.files:
        raise InvalidRequest(f"There is nothing to upload in {path}{_and_left_out(found.left_out)}.")
    targets = [Path(root, file.path.relative_to(path)).as_posix() for file in found.files]
    return Plan([PendingUpload(*each) for each in zip(found.files, targets, strict=True)], found.left_out)


def _root(path: Path) -> str:
    """Return the root of a folder's upload: its name; empty for the notebook's folder and those above it."""
    return path.name if path.name != ".." else ""


def _and_left_out(left_out: dict[str, int]) -> str:
    if not left_out:
        return ""
    kinds = ", ".join(f"{number:,} {kind}" for kind, number in sorted(left_out.items()))
    return f" (left out: {kinds})"


async def send(notebook: FileSharer, outputs: CellOutputs, plan: Plan) -> None:
    """Send the files one after another, report them in the notebook, and inform the model.

    Raises what `ContainerFiles.create` raises. Files sent before an error or an interrupt are kept and
    reported; nothing remains of an unfinished file.
    """
    container_id = (await notebook.container.open(outputs)).id
    notebook.container.touched()
    files = (await notebook.runtime()).containers.files
    progress = UploadProgress(outputs, "Uploading", sum(upload.file.size for upload in plan.uploads))
    sent: list[PendingUpload] = []
    described: dict[str, Description] = {}
    try:
        for upload in plan.uploads:
            outputs.step(f"Uploading {clean(upload.file.path.name)}")
            digest, copy = hashlib.sha256(), Copy()
            async with aclosing(_counted(upload, digest, copy, progress)) as content:
                file = await files.create(
                    container_id, path=upload.target, content=content, size=upload.file.size
                )
            notebook.uploaded.remember(container_id, upload, digest.hexdigest(), copy.content)
            sent.append(upload)
            if len(plan.uploads) <= NAMED:
                described[upload.target] = await describe(notebook, file)
    finally:
        _tell(notebook, outputs, Sent(sent, described, plan.left_out))


async def _counted(
    upload: PendingUpload, digest: hashlib._Hash, copy: Copy, progress: UploadProgress
) -> AsyncGenerator[bytes, None]:
    progress.name = upload.file.path.name
    async with aclosing(read_chunks(upload.file)) as chunks:
        async for chunk in chunks:
            digest.update(chunk)
            copy.add(chunk)
            yield chunk
            progress.add(len(chunk))


class UploadProgress:
    """The progress line of a transfer of `total` bytes; a small transfer has none."""

    def __init__(self, outputs: CellOutputs, doing: str, total: int) -> None:
        self.name = ""
        self._outputs, self._doing, self._total = outputs, doing, total
        self._done = 0
        self._shown = 0.0

    def add(self, count: int) -> None:
        """Record `count` more bytes transferred."""
        from agent_kernel.kernel.render.bundles import note

        self._done += count
        now = time.monotonic()
        if self._total >= SHOWN_FROM and now - self._shown >= SHOWN_EVERY:
            self._shown = now
            percent = min(100, self._done * 100 // max(1, self._total))
            how_far = f"{size(self._done)} of {size(self._total)} ({percent} %)"
            self._outputs.progress(note(f"{self._doing} {code(self.name)}: {how_far}"))


@dataclass(frozen=True)
class Sent:
    """The files that arrived, what they contain by target, and what the plan had left out."""

    uploads: list[PendingUpload]
    described: dict[str, Description]
    left_out: dict[str, int]


def _tell(notebook: FileSharer, outputs: CellOutputs, done: Sent) -> None:
    from agent_kernel.kernel.render.bundles import note

    sent, left_out = done.uploads, done.left_out
    if not sent:
        return
    listed = sent if len(sent) <= NAMED else []
    for upload in listed:
        content = done.described.get(upload.target, Description())
        arrived = f"The user uploaded a file: /mnt/data/{upload.target} ({upload.file.size} bytes)."
        seen = f" In the notebook: {content.for_model}." if content.for_model else ""
        notebook.tell_model(arrived + seen)
        name, where = code(upload.file.path.name), code(f"/mnt/data/{upload.target}")
        shown = f": {content.for_user}" if content.for_user else ""
        outputs.emit(note(f"Uploaded {name} ({size(upload.file.size)}) to {where}{shown}"))
    if not listed:
        total = size(sum(upload.file.size for upload in sent))
        where = code(_common(sent))
        notebook.tell_model(f"The user uploaded {len(sent)} files ({total} in all) to {_common(sent)}.")
        outputs.emit(note(f"Uploaded {len(sent):,} files ({total}) to {where}"))
    if left_out:
        outputs.emit(note(f"Some files were skipped{_and_left_out(left_out)}; name a file to upload it."))


def _common(sent: Sequence[PendingUpload]) -> str:
    return os.path.commonpath([os.path.dirname(f"/mnt/data/{upload.target}") for upload in sent])
