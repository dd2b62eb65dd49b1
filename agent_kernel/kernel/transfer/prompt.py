"""What the model gets of the files that a prompt mentions, besides their path: pictures, and first rows."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from agent_kernel.errors import ConfigurationError, InvalidRequest
from agent_kernel.kernel.render.text import clean, code, fence, size

if TYPE_CHECKING:
    from agent_kernel.kernel.outputs import CellOutputs
    from agent_kernel.kernel.transfer.uploaded import PendingUpload
    from agent_kernel.runtime.base import Runtime

PICTURES = {"image/png", "image/jpeg", "image/gif", "image/webp"}
"""The MIME types that models take."""

MOST_PICTURE = 4 << 20
"""The largest picture in bytes that a model is shown."""

MOST_PICTURES = 8
"""The most pictures of one prompt."""

MOST_ROWS = 1000
MOST_CHARACTERS = 20_000
"""The characters of one file's first rows that a prompt contains."""

_READ = 256 << 10
"""The bytes of a file in which its first rows are looked for."""

HEAD = re.compile(r"""[ \t]+--head(?:[ \t]+|=)(\S+)""")
"""The option behind a mention."""


@dataclass(frozen=True)
class PromptPicture:
    """A picture for the model: its path in the container, and a data URL."""

    path: str
    url: str


@dataclass(frozen=True)
class Prompt:
    """A prompt for the model: its text, and the pictures that it mentions. `notes` are for the user.

    `language` is that of a text which is code for a session.
    """

    text: str
    pictures: Sequence[PromptPicture] = ()
    notes: Sequence[str] = ()
    language: str = "python"

    def content(self) -> list[dict[str, Any]]:
        """Return the content of the message."""
        pictures = [
            {"type": "input_image", "image_url": each.url, "detail": "auto"} for each in self.pictures
        ]
        return [{"type": "input_text", "text": self.text}, *pictures]


def rows_asked(given: str) -> int:
    """Return the number behind `--head`. Raises `InvalidRequest`."""
    if not given.isascii() or not given.isdecimal() or not 0 < int(given[:9]) <= MOST_ROWS:
        raise InvalidRequest(
            f"--head {clean(given[:20])} is not a number of rows from 1 to {MOST_ROWS:,}.",
            hint="For example: @sales.csv --head 50",
        )
    return int(given)


async def picture(upload: PendingUpload) -> PromptPicture | str | None:
    """Return the picture for the model, or why it is not shown, as a sentence; None for any other file.

    Raises `InvalidRequest` if the file cannot be read.
    """
    from agent_kernel.kernel.render.files.pictures import is_kind, kind_of

    mime = kind_of(upload.target)
    if mime not in PICTURES:
        return None
    if upload.file.size > MOST_PICTURE:
        return (
            f"{code(upload.target)} is not shown to the model: it has {size(upload.file.size)}, "
            f"the limit is {size(MOST_PICTURE)}. It is in the container."
        )
    data = await _beginning(upload, MOST_PICTURE)
    if not is_kind(data, mime):
        return None
    return PromptPicture(upload.target, f"data:{mime};base64,{base64.b64encode(data).decode('ascii')}")


async def head(upload: PendingUpload, count: int) -> str:
    """Return the first `count` rows of a text file below its first line, as a block for the prompt.

    Raises `InvalidRequest` for a file that is not text or cannot be read.
    """
    from agent_kernel.kernel.tables.encodings import decode

    data = await _beginning(upload, _READ)
    whole = upload.file.size <= len(data)
    if b"\0" in data and not data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InvalidRequest(
            f"@{upload.target} --head: the file is not text.",
            hint="Mention it without --head; the model reads it in the container.",
        )
    lines = decode(data, whole=whole).text.splitlines()
    if not whole and lines:
        lines.pop()  # it may be half a line
    kept = lines[: count + 1]  # the header is no row
    text = "\n".join(kept)
    if len(text) > MOST_CHARACTERS:
        text = text[:MOST_CHARACTERS].rpartition("\n")[0] or text[:MOST_CHARACTERS]
    shown = max(0, text.count("\n"))
    rows = f"{shown:,} row{'' if shown == 1 else 's'}"
    there = (
        "all of it" if whole and len(kept) == len(lines) and shown == len(kept) - 1 else "the file has more"
    )
    cut = f", cut at {MOST_CHARACTERS:,} characters" if shown < len(kept) - 1 else ""
    return f"The first line and {rows} of /mnt/data/{upload.target} ({there}{cut}):\n{fence(text, 'text')}"


async def for_model(
    prompt: Prompt, runtime: Runtime, model: str | None, outputs: CellOutputs, *, sees: bool | None = None
) -> Prompt:
    """Return the prompt without pictures if the model cannot see, and show the user why.

    A model sees unless its server says that it does not, or it has no server. `model` None is the default.
    `sees` None: its server is asked.
    """
    from agent_kernel.kernel.render.bundles import notice

    for text in prompt.notes[:MOST_PICTURES]:
        outputs.emit(notice(text))
    pictures = prompt.pictures[:MOST_PICTURES]
    if len(pictures) < len(prompt.pictures):
        outputs.emit(
            notice(f"The model is shown {MOST_PICTURES} pictures of this prompt; all are in the container.")
        )
    if pictures and not (await _sees(runtime, model) if sees is None else sees):
        names = ", ".join(code(each.path) for each in pictures)
        outputs.emit(notice(f"This model cannot see pictures: it gets the path of {names}, not the content."))
        pictures = ()
    return replace(prompt, pictures=pictures)


async def _sees(runtime: Runtime, model: str | None) -> bool:
    from agent_kernel.runtime.base import AsksModelServers

    if not isinstance(runtime, AsksModelServers):
        return True
    try:
        report = await runtime.model_server(model)
    except (InvalidRequest, ConfigurationError):  # the turn says why the model cannot be used
        return True
    return report is not None and report.pictures is not False


async def _beginning(upload: PendingUpload, most: int) -> bytes:
    from agent_kernel.kernel.transfer.host_files import read_chunks

    data = bytearray()
    async with aclosing(read_chunks(upload.file)) as chunks:
        async for chunk in chunks:
            data += chunk
            if len(data) >= most:
                break
    return bytes(data[:most])
