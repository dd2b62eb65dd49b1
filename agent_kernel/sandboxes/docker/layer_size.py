"""The size of the layer that a checkpoint would write, measured and checked in advance (blocking calls).

The engine reads a layer as an archive without holes: a sparse file takes its whole length on disk. It leaves
out what is below a path of more than 4,096 bytes, without an error, and gives a size of -1 there.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from agent_kernel.errors import SandboxError
from agent_kernel.sandboxes.docker.address import Address
from agent_kernel.sandboxes.optional import too_large

if TYPE_CHECKING:
    from docker import APIClient

SPARE = 1 << 30
"""Bytes of the engine's disk that a checkpoint leaves free."""

_LARGE = "64M"  # files below this are not named
_FIND = (
    f"exec </dev/null 2>/dev/null; timeout 20 find / -xdev -type f -size +{_LARGE} -printf '%s %p\\n' "
    "| sort -rn | head -n 3"
)
_FOUND = re.compile(r"(\d{1,19}) (/[ -~]{1,200})")


def check_size(api: APIClient, container: dict[str, Any], most: int | None) -> None:
    """Refuse a layer of more than `most` bytes, or one that the engine's disk has no room for.

    Raises `SandboxError`; it names the largest files, as the sandbox reports them.
    """
    size = _layer_size(api, container["Id"])
    if size < 0:
        raise SandboxError(
            "The engine cannot tell how much space the checkpoint would take, and would leave files out: "
            "folders are nested too deeply (a path of more than 4,096 bytes).",
            hint="Remove those folders or move them up, or pack them with tar and remove them.",
        )
    if most is not None:
        if size > most:
            raise too_large(size, most)
        return
    free = _free(api)
    if free is not None and size > free - SPARE:
        files = _largest(api, container)
        named = f" The largest: {', '.join(files)}." if files else ""
        raise SandboxError(
            f"The checkpoint would take {size} bytes, and the engine's disk has {free} free.",
            hint=f"Remove large files; the holes of a sparse file count.{named}",
        )


def _layer_size(api: APIClient, id: str) -> int:  # noqa: A002 (the field's own word)
    found: list[dict[str, Any]] = api.containers(all=True, size=True, filters={"id": id})
    return int(found[0].get("SizeRw") or 0) if found else 0


def _free(api: APIClient) -> int | None:
    """Return the free bytes of the engine's disk, or None if it is not on this machine."""
    if Address.of(api).path is None:
        return None
    root: str = api.info()["DockerRootDir"]
    try:
        status = os.statvfs(root)
    except OSError:  # an engine in a virtual machine
        return None
    return status.f_bavail * status.f_frsize


def _largest(api: APIClient, container: dict[str, Any]) -> list[str]:
    """Ask a running sandbox for its largest files. The answer is a claim: bounded and printable."""
    if not container["State"]["Running"]:
        return []
    made = api.exec_create(container["Id"], ["bash", "-c", _FIND], user="0:0", stdin=True)
    said = api.exec_start(made["Id"])[:2000].decode(errors="replace")
    matches = (_FOUND.fullmatch(line) for line in said.splitlines()[:3])
    return [f"{match[2]} ({match[1]} bytes)" for match in matches if match]
