"""A sandbox with a desktop, and an application inside whose pages report what reaches them."""

from __future__ import annotations

import asyncio
import itertools
import json
import shutil
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from agent_kernel.sandboxes.toolbox import Toolbox
from agent_kernel.tools.computer.session import Batch, Performed, perform
from agent_kernel.tools.computer.settings import DesktopSettings
from tests.conftest import Missing
from tests.sandboxes.inside import Sandbox, started

APP = (Path(__file__).parent / "app.py").read_bytes()
_NAMES = itertools.count()
Json = dict[str, Any]
Act = Callable[..., Coroutine[Any, Any, Performed]]


@dataclass
class Desk:
    """A sandbox with a desktop. The page's corner is at `left`, `top` of the screen."""

    sandbox: Sandbox
    display: DesktopSettings = field(default_factory=DesktopSettings)
    left: int = 0
    top: int = 0

    async def act(self, *actions: Json, display: DesktopSettings | None = None, **fields: Any) -> Performed:
        """Carry out actions."""
        batch = Batch(f"test/{next(_NAMES)}", actions, display or self.display, **fields)
        return await perform(self.sandbox.channel, batch)

    def at(self, x: int, y: int) -> Json:
        """Return a place on the page as one on the screen."""
        return {"x": self.left + x, "y": self.top + y}

    async def told(self, kind: str, until: Callable[[Json], bool] = lambda each: True) -> Json:
        """Return the newest report of a kind that is as expected; wait for one."""
        for _ in range(300):
            done = await self.sandbox("cat /mnt/data/told.jsonl 2>/dev/null || true")
            told: list[Json] = [json.loads(line) for line in done.stdout.splitlines()]
            if found := [each for each in told if each["kind"] == kind and until(each)]:
                return found[-1]
            await asyncio.sleep(0.1)  # the page reports over HTTP inside, where nothing tells of it
        raise AssertionError(f"no such {kind}: {told[-20:]}")

    async def open_page(self) -> None:
        """Serve the page inside, and open it in the browser."""
        await self.sandbox.channel.put("/tmp/app.py", _content(APP))
        assert (
            await self.sandbox("python3 /tmp/app.py >/dev/null 2>&1 & rm -f /mnt/data/told.jsonl")
        ).code == 0
        keys = {"type": "keypress", "keys": ["CTRL", "L"]}
        url = {"type": "type", "text": "http://127.0.0.1:8000/\n"}
        opened = await self.act(keys, url, {"type": "wait"})
        assert opened.status == "ok", opened.said
        await self.told("ready")
        for x in (640, 641):
            await self.act({"type": "move", "x": x, "y": 750})
        place = await self.told("place")
        self.left, self.top = place["left"], place["top"]


async def _content(data: bytes) -> AsyncIterator[bytes]:
    yield data


@pytest.fixture(scope="session")
def desktop_programs(missing: Missing) -> None:
    """Skip where this machine lacks a desktop's programs; CI installs them."""
    absent = [name for name in ("Xvfb", "openbox", "chromium") if shutil.which(name) is None]
    if absent:
        missing(f"{', '.join(absent)} not installed; .ci/debian-packages does it")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def desk(
    toolbox: Toolbox, tmp_path_factory: pytest.TempPathFactory, desktop_programs: None
) -> AsyncIterator[Desk]:
    """A desktop with the page open, for the tests of a module."""
    backend = BubblewrapBackend(tmp_path_factory.mktemp("sandboxes"), toolbox)
    async with started(backend, memory=2 << 30) as sandbox:
        found = Desk(sandbox)
        await found.open_page()
        yield found
    await backend.aclose()
