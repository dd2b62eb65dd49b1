"""Read what a request brings: the files of a skill, and the number of a version."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from agent_kernel.errors import InvalidRequest, TooLarge
from agent_kernel.protocol.validation import shortened
from agent_kernel.runtime.containers.skills.archive import (
    LARGEST_ARCHIVE,
    MANIFEST,
    gathered,
    packed,
    unzipped,
)
from agent_kernel.runtime.containers.skills.skills import called, front_matter
from agent_kernel.runtime.skills.base import Given

_ZIP = (b"PK\x03\x04", b"PK\x05\x06")


@dataclass(frozen=True)
class ReadSkill:
    """A skill as it came, packed anew: no byte of the request's own archive is kept."""

    name: str
    description: str
    archive: bytes


def read_skill(given: Given) -> ReadSkill:
    """Read the files of a skill, or one zip archive. Call it from a thread.

    Raises `InvalidRequest` for what is no skill, a path that leads outside and a link; `TooLarge`.
    """
    if sum(len(content) for _, content in given) > LARGEST_ARCHIVE:
        raise TooLarge(f"The skill is larger than {LARGEST_ARCHIVE >> 20} MiB.", param="files")
    if len(given) == 1 and given[0][1].startswith(_ZIP):
        files = unzipped(given[0][1], "files")
    else:
        files = gathered(given, "files")
    matter = front_matter(files[MANIFEST].content)
    name, description = called(matter.get("name"), matter.get("description"), MANIFEST)
    return ReadSkill(name, " ".join(description.split()), packed(files, name))


def number_of(given: object, param: str) -> int | Literal["latest"] | None:
    """Return the number of a version, which may be text. None stays None. Raises `InvalidRequest`."""
    if given is None or given == "latest":
        return given if given is None else "latest"
    text = str(given) if isinstance(given, int) and not isinstance(given, bool) else given
    if isinstance(text, str) and text.isascii() and text.isdecimal() and 0 < len(text) <= 9:
        return int(text)
    raise InvalidRequest(
        f"{param} must be the number of a version or latest, not {shortened(given)}.", param=param
    )
