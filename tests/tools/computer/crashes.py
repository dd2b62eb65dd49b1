"""Crashes of the programs of a desktop: told to the model, mended, and nothing of the old ones stays."""

from __future__ import annotations

from tests.tools.computer.conftest import Desk

PROGRAMS = "Xvfb|openbox|chrom"


async def crashes_are_mended(desk: Desk) -> None:
    """Kill the window manager and the browser, then the X server. The desktop must work after each."""
    old = await running(desk)
    await desk.sandbox("pkill -9 openbox; pkill -9 -o chromium")
    done = await desk.act({"type": "wait"}, {"type": "screenshot"})
    assert done.status == "ok"
    assert done.said[0] == "The window manager had ended and was started again."
    assert "The browser had crashed and was started again." in done.said
    await desk.open_page()
    old |= await running(desk)
    await desk.sandbox("pkill -9 Xvfb")
    done = await desk.act({"type": "screenshot"})
    assert done.status == "ended"
    assert done.said[-1].startswith("The desktop has ended: ")
    done = await desk.act({"type": "screenshot"})
    assert (done.status, len(done.shots)) == ("ok", 1)
    await desk.open_page()
    left = f"ps -o pid=,stat=,comm= -p {','.join(map(str, old))}"
    await desk.sandbox(f"for n in $(seq 100); do {left} >/dev/null || break; sleep 0.1; done")
    assert (await desk.sandbox(left)).stdout == b""
    count = await desk.sandbox("pgrep -c Xvfb; pgrep -c openbox")
    assert count.stdout.split() == [b"1", b"1"]


async def running(desk: Desk) -> set[int]:
    """Return the process ids of the desktop's programs."""
    found = {int(each) for each in (await desk.sandbox(f"pgrep '{PROGRAMS}'")).stdout.split()}
    assert len(found) > 3
    return found
