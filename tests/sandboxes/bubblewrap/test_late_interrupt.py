"""An interrupt that reaches boxd together with the report of the command's end."""

from __future__ import annotations

import asyncio
import os
import signal
from functools import partial
from pathlib import Path

import pytest

from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from agent_kernel.sandboxes.bubblewrap.folder import find_process
from tests.runtime.containers.lifecycle import until
from tests.sandboxes.inside import started

pytestmark = pytest.mark.bubblewrap


async def test_interrupt_after_end_keeps_what_was_set(
    bubblewrap_backend: BubblewrapBackend, tmp_path: Path
) -> None:
    async with started(bubblewrap_backend) as run:
        boxd = find_process(tmp_path / "sandboxes" / run.ref.id)
        assert boxd is not None
        folder = Path(f"/proc/{boxd.pid}/root/run/boxd")
        for number in range(4):
            events = run.channel.run(f"echo begun; sleep 0.1; KEPT={number}")
            await anext(events)
            os.kill(boxd.pid, signal.SIGSTOP)
            try:
                closing = asyncio.create_task(events.aclose())
                await until(partial(saved, folder, number))
            finally:
                os.kill(boxd.pid, signal.SIGCONT)
            await closing
            assert (await run("echo $KEPT")).stdout == b"%d\n" % number


def saved(folder: Path, number: int) -> bool:
    texts = [path.read_bytes() for path in folder.glob("state.[01]")]
    return any(b'KEPT="%d"\n' % number in text and text.endswith(b"# end\n") for text in texts)
