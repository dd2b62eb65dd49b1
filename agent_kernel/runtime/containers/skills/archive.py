"""Read a skill's files from an untrusted zip archive, in memory and within bounds, and pack them again.

The host's file system is never touched. The sizes that an archive declares are not trusted.
"""

from __future__ import annotations

import base64
import binascii
import io
import posixpath
import stat
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from agent_kernel.errors import InvalidRequest, TooLarge

MANIFEST = "SKILL.md"

MOST_FILES = 500
LARGEST_FILE = 25 << 20
LARGEST_ARCHIVE = 50 << 20
LARGEST_SKILL = 100 << 20
"""Bytes, the latter of all files together, unpacked."""

_UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    OverflowError,
)
"""Errors of the zip reader for a damaged, encrypted or unsupported archive."""


@dataclass(frozen=True)
class SkillFile:
    """One file. `executable`: it was packed with an executable mode."""

    content: bytes
    executable: bool = False


Files = Mapping[str, SkillFile]
"""Files by their path below the skill's folder, including `SKILL.md`."""


def unpack(data: str, param: str) -> Files:
    """Read a zip archive in base64. Its files are at its top, or all in one folder there.

    Takes as long as unpacking does: call it from a thread. Raises `InvalidRequest`, naming `param`, for what
    is no such archive, a path that leads outside and a link; `TooLarge` for more than the limits.
    """
    if len(data) > LARGEST_ARCHIVE * 4 // 3 + 4:
        raise TooLarge(f"The skill's archive is larger than {LARGEST_ARCHIVE >> 20} MiB.", param=param)
    try:
        return unzipped(base64.b64decode(data, validate=True), param)
    except binascii.Error:
        raise InvalidRequest("The skill is not a zip archive in base64.", param=param) from None


def unzipped(data: bytes, param: str) -> Files:
    """Read a zip archive; see `unpack`."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except _UNREADABLE:
        raise InvalidRequest("The skill is not a zip archive.", param=param) from None
    with archive:
        members = [member for member in archive.infolist() if not member.is_dir()]
        if len(members) > MOST_FILES:
            raise TooLarge(f"A skill may have {MOST_FILES} files; this has {len(members)}.", param=param)
        return _below_manifest(dict(_read(archive, members, param)), param)


def _read(
    archive: zipfile.ZipFile, members: list[zipfile.ZipInfo], param: str
) -> Iterator[tuple[str, SkillFile]]:
    room, seen = LARGEST_SKILL, set[str]()
    for member in members:
        path = checked_path(member.filename, param)
        mode = member.external_attr >> 16
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
            raise InvalidRequest(f"The skill's {path!r} is a link or a device, not a file.", param=param)
        if path in seen:
            raise InvalidRequest(f"The skill has {path!r} twice.", param=param)
        seen.add(path)
        try:
            with archive.open(member) as packed:
                content = packed.read(min(LARGEST_FILE, room) + 1)
        except _UNREADABLE:
            raise InvalidRequest(f"The skill's {path!r} cannot be unpacked.", param=param) from None
        if len(content) > LARGEST_FILE:
            raise TooLarge(f"The skill's {path!r} is larger than {LARGEST_FILE >> 20} MiB.", param=param)
        room -= len(content)
        if room < 0:
            raise TooLarge(f"The skill is larger than {LARGEST_SKILL >> 20} MiB, unpacked.", param=param)
        yield path, SkillFile(content, bool(mode & 0o111))


def checked_path(path: str, param: str) -> str:
    """Return the normalized path. Raises `InvalidRequest` if it is absolute or leads outside."""
    parts = path.replace("\\", "/").split("/")
    drive = len(parts[0]) == 2 and parts[0].endswith(":")
    if not path or "\0" in path or path.startswith(("/", "\\")) or ".." in parts or drive or len(path) > 512:
        raise InvalidRequest(f"The path {path[:100]!r} leads out of the skill.", param=param)
    try:
        path.encode()
    except UnicodeEncodeError:
        raise InvalidRequest(f"The path {path[:100]!r} is not text.", param=param) from None
    return posixpath.normpath("/".join(parts))


def gathered(given: Sequence[tuple[str, bytes]], param: str) -> Files:
    """Return files that were given one by one, with their paths. Raises as `unpack`."""
    if len(given) > MOST_FILES:
        raise TooLarge(f"A skill may have {MOST_FILES} files; this has {len(given)}.", param=param)
    files: dict[str, SkillFile] = {}
    for name, content in given:
        path = checked_path(name, param)
        if path in files:
            raise InvalidRequest(f"The skill has {path!r} twice.", param=param)
        if len(content) > LARGEST_FILE:
            raise TooLarge(f"The skill's {path!r} is larger than {LARGEST_FILE >> 20} MiB.", param=param)
        files[path] = SkillFile(content, executable=content.startswith(b"#!"))
    return _below_manifest(files, param)


def packed(files: Files, folder: str) -> bytes:
    """Return a zip archive with the files in a folder. The same files have the same bytes."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, file in sorted(files.items()):
            member = zipfile.ZipInfo(f"{folder}/{path}")
            mode = 0o755 if file.executable else 0o644
            member.external_attr = (stat.S_IFREG | mode) << 16
            archive.writestr(member, file.content, zipfile.ZIP_DEFLATED)
    return made.getvalue()


def _below_manifest(files: dict[str, SkillFile], param: str) -> Files:
    """Return the files below the manifest's folder, the top or the only one there, as `SKILL.md`."""
    tops = {path.partition("/")[0] for path in files}
    at_top = any(_is_manifest(path) for path in files)
    folder = "" if at_top or len(tops) != 1 else f"{next(iter(tops))}/"
    below = {path.removeprefix(folder): file for path, file in files.items()}
    found = [path for path in below if _is_manifest(path)]
    if len(found) != 1:
        raise InvalidRequest(
            f"The skill has {'two files' if found else 'no file'} named {MANIFEST}.",
            hint=f"Put one {MANIFEST} at the top of the archive, or into its only folder.",
            param=param,
        )
    return {MANIFEST if path == found[0] else path: file for path, file in below.items()}


def _is_manifest(path: str) -> bool:
    return path.upper() == MANIFEST.upper()
