"""The Python packages for data that a new sandbox has: asked of a sandbox, because an image may have any."""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncGenerator
from contextlib import aclosing

from agent_kernel.errors import SandboxStartFailed
from agent_kernel.sandboxes.base import Backend, SandboxSpec
from agent_kernel.sandboxes.calls import Exited, Output, TimedOut
from agent_kernel.sandboxes.channel import Channel
from agent_kernel.sandboxes.network import Network

DATA_PACKAGES = (
    "pandas",
    "numpy",
    "scipy",
    "scikit-learn",
    "statsmodels",
    "matplotlib",
    "seaborn",
    "openpyxl",
    "xlrd",
    "lxml",
    "odfpy",
    "python-calamine",
    "pyarrow",
    "polars",
    "duckdb",
    "pyreadstat",
)
"""Names on PyPI, in the order in which they are shown."""

SECONDS = 60.0
"""The time limit of the question in the sandbox."""

_MOST = 256 << 10
"""Bytes of the answer that are read; a package takes about 20."""
_LEASE = 60.0
_QUESTION = (
    "python3 -c 'import importlib.metadata as m\n"
    'for d in m.distributions(): print(d.metadata["Name"], d.version)'
    "'"
)
_LINE = re.compile(r"([A-Za-z0-9._-]{1,60}) ([A-Za-z0-9.+!_-]{1,40})")


async def data_packages(backend: Backend, network: Network | None = None) -> dict[str, str] | None:
    """Start a sandbox, ask it for `DATA_PACKAGES`, and return the versions of those it has; then remove it.

    `network` is that of the sandbox. Returns None if Python does not run in it. The answer is a claim of the
    sandbox, of bounded size and plain text.

    Raises `SandboxError` if no sandbox can be started or reached. Cancelling removes the sandbox.
    """
    ref = await backend.create(SandboxSpec(f"packages-{secrets.token_hex(6)}", lease=_LEASE, network=network))
    try:
        channel = await Channel.open(await backend.stream(ref))
        try:
            async with aclosing(channel.run(_QUESTION, timeout=SECONDS)) as events:
                return await _read(events)
        finally:
            await channel.aclose()
    finally:
        await backend.delete(ref)


async def _read(events: AsyncGenerator[object, None]) -> dict[str, str] | None:
    answer = bytearray()
    async for event in events:
        match event:
            case Output("stdout", data) if len(answer) < _MOST:
                answer += data
            case Exited(code):
                return _found(answer[:_MOST].decode("ascii", "replace")) if code == 0 else None
            case TimedOut():
                return None
    raise SandboxStartFailed("The sandbox ended while it was asked for its packages.")


def _found(answer: str) -> dict[str, str]:
    listed = {}
    for line in answer.splitlines():
        if match := _LINE.fullmatch(line):
            listed[re.sub(r"[._-]+", "-", match[1]).lower()] = match[2]
    return {name: listed[name] for name in DATA_PACKAGES if name in listed}
