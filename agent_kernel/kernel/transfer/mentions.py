"""`@file` in a prompt: uploads the file, again if it has changed, and informs the model.

A picture is shown to the model too, and `@file --head 50` adds the file's first rows to the prompt.

Everything else stays text: an email address, a decorator, text in backticks or after a backslash.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from agent_kernel.errors import InvalidRequest
from agent_kernel.kernel.transfer.host_files import expanded, look
from agent_kernel.kernel.transfer.prompt import HEAD, Prompt, PromptPicture, head, picture, rows_asked
from agent_kernel.kernel.transfer.spaced import check_near, missing_name, not_uploaded
from agent_kernel.kernel.transfer.uploaded import PendingUpload
from agent_kernel.kernel.transfer.uploads import Plan, folder, joined, send

if TYPE_CHECKING:
    from agent_kernel.kernel.outputs import CellOutputs
    from agent_kernel.kernel.settings import KernelSettings
    from agent_kernel.kernel.transfer.base import FileSharer

_MENTION = re.compile(
    r"""(?<![\w@\\./+-])@(?:"([^"\n]+)"|'([^'\n]+)'|((?:\\[ ]|[^\s"'`@])(?:\\[ ]|[^\s"`@])*))"""
)
_NO_PATH = frozenset("()[]{}<>$='|;&*?")
"""Characters of code and prices: a word with one of them is text unless there is such a file."""

_LONGEST = 255
"""Characters behind an `@` that may be the name of a file with spaces."""
_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`", re.DOTALL)
_ENDS = ".,;:!?)]}>'’*_"
_KNOWN_TYPES = """
csv tsv txt md rst json jsonl ndjson geojson xml html yaml yml toml ini log xls xlsx ods parquet feather arrow
avro orc dat sav dta rds sas7bdat sqlite db sql duckdb h5 hdf5 nc npy npz pkl zip gz bz2 xz zst tar tgz 7z pdf
doc docx odt ppt pptx rtf epub png jpg jpeg gif svg webp tif tiff bmp heic wav mp3 flac ogg mp4 mov shp gpx
kml py r jl ipynb sh tex bib
"""
_FILE_TYPES = frozenset(_KNOWN_TYPES.split())


@dataclass(frozen=True)
class Mention:
    """`@path` in a prompt: the path as written, and whether it was quoted."""

    word: str
    quoted: bool
    line: str = ""
    """An unquoted mention with the rest of its line: a name with spaces may go on there."""
    whole: str = ""
    """The mention as written, with the rest of its line: an option may follow."""

    @property
    def rows(self) -> tuple[str, str] | None:
        """What stands before `--head` and behind it, if the mention may have this option."""
        option = HEAD.search(self.whole)
        if option is None:
            return None
        before = self.whole[1 : option.start()]
        return (before.strip("\"'") if self.quoted else before.replace("\\ ", " ")), option[1]


def mentions(prompt: str) -> Iterator[Mention]:
    """Yield everything in the prompt written like a mention; it need not be a file."""
    text = _CODE.sub(lambda match: " " * len(match[0]), prompt)
    for match in _MENTION.finditer(text):
        whole = text[match.start() : match.start() + 2 * _LONGEST].partition("\n")[0]
        if quoted := match[1] or match[2]:
            yield Mention(quoted, True, whole=whole)
        else:
            line = text[match.start(3) : match.start(3) + _LONGEST].partition("\n")[0]
            yield Mention(match[3].replace("\\ ", " "), False, line, whole)


def resolve(mention: Mention) -> Path | None:
    """Return the mentioned file or folder, or None if the mention is only text.

    Punctuation at its end belongs to the sentence unless the file's name has it. Raises `InvalidRequest` for
    a mention that looks like a path and does not exist, or like a name with spaces that is near a file's.
    """
    if (spaced := _with_spaces(mention)) is not None:
        return spaced
    word = mention.word
    while word:
        path = expanded(word)
        if os.path.lexists(path):
            return path
        if mention.quoted or word[-1] not in _ENDS:
            break
        word = word[:-1]
    if (name := missing_name(mention.line, _FILE_TYPES)) is not None:
        check_near(name)
    if not word or not (mention.quoted or _looks_like_a_path(word)):
        return None
    try:
        look(expanded(word))
    except InvalidRequest as error:
        help_ = f"{error.hint or ''} If no file is meant, write \\@{word} or put it in backticks."
        raise InvalidRequest(f"@{word}: {error.message}", hint=help_.strip()) from error
    return expanded(word)  # it was created just now


def as_text(prompt: str, there: Collection[str]) -> str:
    """Return the prompt with mentions of the files `there` written as text, unless such a file is here.

    They arrived in the container from the page of the front end: there is nothing to upload.
    """

    def escaped(match: re.Match[str]) -> str:
        word = match[1] or match[2] or match[3].replace("\\ ", " ")
        names = {word, word.rstrip(_ENDS)} & {*there}
        return "\\" + match[0] if any(not os.path.lexists(name) for name in names) else match[0]

    return _MENTION.sub(escaped, prompt) if there else prompt


def _with_spaces(mention: Mention) -> Path | None:
    """Return the file with the longest name that the line begins with, if the name has spaces."""
    line = mention.line
    while " " in line and len(line) > len(mention.word):
        path = expanded(line)
        if os.path.lexists(path):
            return path
        line = line[:-1].rstrip() if line[-1] in _ENDS or line[-1] == " " else line.rpartition(" ")[0]
    return None


def _looks_like_a_path(word: str) -> bool:
    if _NO_PATH & {*word}:
        return False
    if PurePath(word).suffix.lower().removeprefix(".") in _FILE_TYPES or word.startswith(
        ("/", "~/", "./", "../")
    ):
        return True
    return "/" in word and os.path.isdir(expanded(word.partition("/")[0]))  # not @scope/package


def find_mentioned(prompt: str, settings: KernelSettings) -> Plan:
    """Return the uploads for the files that the prompt mentions. Raises `InvalidRequest` and `TooLarge`."""
    found = dict.fromkeys(path for path in map(resolve, mentions(prompt)) if path is not None)
    return joined([_planned(path, settings) for path in found]).check(settings)


def heads(prompt: str) -> dict[Path, int]:
    """Return the files whose first rows the prompt asks for, and how many. Raises `InvalidRequest`."""
    found = {}
    for mention in mentions(prompt):
        asked, path = mention.rows, resolve(mention)
        if asked is None or path is None or expanded(asked[0]) != path:
            continue
        found[path] = rows_asked(asked[1])
        if look(path) is None:
            raise InvalidRequest(f"@{path} --head: it is a folder.", hint="Name a file.")
    return found


def unfound(prompt: str) -> list[str]:
    """Return the names with spaces in the prompt that look like files but are not."""
    return [
        name
        for each in mentions(prompt)
        if resolve(each) is None and (name := missing_name(each.line, _FILE_TYPES)) is not None
    ]


def _planned(path: Path, settings: KernelSettings) -> Plan:
    """Plan an upload: a path below the notebook's folder keeps its path, others go by their name."""
    normal = Path(os.path.normpath(path))
    inside = not normal.is_absolute() and ".." not in normal.parts
    target = normal.as_posix() if inside else normal.name
    file = look(path)
    return Plan([PendingUpload(file, target)], {}) if file else folder(path, settings, target)


async def attach(notebook: FileSharer, outputs: CellOutputs, prompt: str) -> Prompt:
    """Upload mentioned files that are new or changed in the container. Return the prompt for the model.

    Raises what `find_mentioned`, `heads` and `send` raise.
    """
    if "@" not in prompt:
        return Prompt(prompt)
    from agent_kernel.kernel.render.bundles import notice
    from agent_kernel.kernel.render.files.artifacts import snapshot

    prompt = as_text(prompt, notebook.uploaded.only_there(notebook.container.id))
    plan = await asyncio.to_thread(find_mentioned, prompt, notebook.settings)
    for name in await asyncio.to_thread(unfound, prompt):
        outputs.emit(notice(not_uploaded(name)))
    rows = await asyncio.to_thread(heads, prompt)
    placed: list[PendingUpload] = []
    blocks: list[str] = []
    if plan.uploads:
        container = await notebook.container.open(outputs)
        there = await snapshot((await notebook.runtime()).containers.files, container.id)
        present = there.files if there.complete else None
        placed = await notebook.uploaded.placed(container.id, plan.uploads)
        blocks = [await head(each, rows[each.file.path]) for each in placed if each.file.path in rows]
        stale = [
            upload
            for upload in placed
            if (present is not None and f"/mnt/data/{upload.target}" not in present)
            or not await notebook.uploaded.has(container.id, upload)
        ]
        if stale:
            await send(notebook, outputs, Plan(stale, plan.left_out))
    named = await asyncio.to_thread(lambda: set(map(resolve, mentions(prompt))))
    seen = [await picture(each) for each in placed if each.file.path in named]
    text = "\n\n".join([prompt.replace("\\@", "@"), *blocks])
    notes = [each for each in seen if isinstance(each, str)]
    return Prompt(text, [each for each in seen if isinstance(each, PromptPicture)], notes)
