"""The packages of a sandbox by name and version: of Python, and of Debian where there is dpkg."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping

from agent_kernel.sandboxes.channel import Channel, Output

MOST_SAID = 4 << 20

_PROGRAM = """
import importlib.metadata, json, platform, subprocess
python = {}
for each in importlib.metadata.distributions():
    python[str(each.metadata["Name"])] = str(each.version)
try:
    said = subprocess.run(["dpkg-query", "-W", "-f", "${Package} ${Version}\\n"], capture_output=True).stdout
    debian = dict(line.split(" ", 1) for line in said.decode().splitlines() if " " in line)
except OSError:
    debian = {}
print(json.dumps({"python_version": platform.python_version(), "python": python, "debian": debian}))
"""

Packages = Mapping[str, object]


async def packages_of(channel: Channel) -> Packages:
    """Return the packages that a sandbox says it has; empty if it does not say."""
    said = bytearray()
    command = ["python3", "-c", _PROGRAM]
    async with channel.program(f"packages-{secrets.token_hex(4)}", command) as program:
        while isinstance(piece := await program.read(), Output):
            if piece.stream == "stdout":
                said += piece.data[: MOST_SAID - len(said)]
    try:
        found = json.loads(said)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def missing(wanted: Packages, there: Packages) -> list[str]:
    """Return the Python packages `NAME==VERSION` that were in one sandbox and are not in another."""
    before, now = wanted.get("python"), there.get("python")
    if not isinstance(before, dict) or not isinstance(now, dict):
        return []
    return sorted(f"{name}=={version}" for name, version in before.items() if name not in now)
