"""The first member of an archive: what it is, and the size and SHA-256 of every other one."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from agent_kernel.errors import InvalidRequest
from agent_kernel.protocol.wellformed import well_formed
from agent_kernel.runtime.archive.errors import ArchiveInvalid

FORMAT = "agent-kernel session archive"
VERSION = 1
"""The version that this release writes. It reads no later one."""

MANIFEST = "manifest.json"
CHECKSUM = "checksum"
"""The last member: the SHA-256 of all bytes before it, in hex digits."""

MOST_SNAPSHOTS = 10


def snapshot_files(number: int) -> str:
    """Return the member with the tree of files at a snapshot."""
    return f"snapshot-{number:02}.tar.gz"


def snapshot_shell(number: int) -> str:
    """Return the member with the shell's state at a snapshot."""
    return f"snapshot-{number:02}.json"


_NAMES = (
    "session.json",
    "responses.jsonl",
    "container.json",
    "contents.gz",
    "contents.jsonl",
    "tree.tar.gz",
    "shell.json",
    "packages.json",
    "audit.jsonl",
    "settings.json",
    "notebook.ipynb",
    "snapshots.json",
)
SESSION, RESPONSES, CONTAINER, CONTENTS, INDEX, FILES = _NAMES[:6]
SHELL, PACKAGES, AUDIT, SETTINGS, NOTEBOOK, SNAPSHOTS = _NAMES[6:]
MEMBERS = (
    *_NAMES,
    *(name(number) for number in range(MOST_SNAPSHOTS) for name in (snapshot_files, snapshot_shell)),
)
"""The members in their order."""

REQUIRED = (SESSION, RESPONSES)

LARGEST_MANIFEST = 1 << 20
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class TreeLimits:
    """What a tree of files may hold at most. `size` is in bytes that are not holes, `length` with them."""

    entries: int = 500_000
    size: int = 20 << 30
    length: int = 1 << 40


@dataclass(frozen=True)
class Member:
    """A member of an archive. `size` in bytes; `sha256` in hex digits."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """The description of an archive. `made_by` is a version, `made_at` a time in seconds since 1970.

    `left_out` says in words what of the session is not in it.
    """

    members: Sequence[Member]
    made_by: str = ""
    made_at: int = 0
    left_out: Sequence[str] = ()

    def to_json(self) -> bytes:
        """Return it as it is in an archive."""
        value = {"format": FORMAT, "version": VERSION, **asdict(self)}
        return json.dumps(value, indent=1).encode() + b"\n"


def read_manifest(text: bytes) -> Manifest:
    """Read and check a manifest. Raises `ArchiveInvalid`."""
    found = read_object(text, MANIFEST)
    if found.get("format") != FORMAT:
        raise ArchiveInvalid(
            "it is not a session archive", hint="Name a file that `agent-kernel session export` wrote."
        )
    version = found.get("version")
    if type(version) is not int or version < 1:
        raise ArchiveInvalid("its version is not a number")
    if version > VERSION:
        raise ArchiveInvalid(
            f"it has version {version} of the format, and this agent-kernel knows {VERSION}",
            hint="Update agent-kernel: pip install --upgrade jupyter-agent-kernel",
        )
    members = found.get("members")
    if not isinstance(members, list) or len(members) > len(MEMBERS):
        raise ArchiveInvalid("its list of members is damaged")
    read = [_member(each) for each in members]
    names = [each.name for each in read]
    if len(set(names)) < len(names) or not {*REQUIRED} <= {*names} <= {*MEMBERS}:
        raise ArchiveInvalid("its members are not those of a session")
    left_out = found.get("left_out")
    words = [str(each)[:1000] for each in left_out[:2000]] if isinstance(left_out, list) else []
    made_at = found.get("made_at")
    return Manifest(
        read,
        str(found.get("made_by"))[:100],
        made_at if type(made_at) is int and 0 <= made_at < 1 << 40 else 0,
        words,
    )


def _member(value: object) -> Member:
    if isinstance(value, dict):
        name, size, digest = value.get("name"), value.get("size"), value.get("sha256")
        if isinstance(name, str) and type(size) is int and size >= 0 and _DIGEST.fullmatch(str(digest)):
            return Member(name, size, str(digest))
    raise ArchiveInvalid("its list of members is damaged")


def read_object(text: bytes, where: str) -> Mapping[str, Any]:
    """Read a JSON object. Raises `ArchiveInvalid`."""
    try:
        found = well_formed(json.loads(text))
    except (ValueError, RecursionError, InvalidRequest):
        raise ArchiveInvalid(f"{where} is not usable JSON") from None
    if not isinstance(found, dict):
        raise ArchiveInvalid(f"{where} is no object")
    return found
