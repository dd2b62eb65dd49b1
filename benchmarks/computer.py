"""How long an action with its screenshot takes on a desktop, beside xdotool and scrot, in one run.

    python benchmarks/computer.py [--runs 40] [--json]

Both act on the same desktop in a bubblewrap sandbox, from the same host, and take turns. Neither waits until
the screen is at rest. Ours asks the browser before each action what a rule might stop, as it does by default.
Needs Xvfb, openbox, chromium, xdotool and scrot. The figures are medians in milliseconds; what counts are the
ratios. Then it prints what the desktop takes of memory, beside its browser, and of the processor while its
screen is at rest.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from agent_kernel.config import RuntimeSettings
from agent_kernel.protocol.desktop.items import RULES
from agent_kernel.sandboxes.base import SandboxSpec
from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from agent_kernel.sandboxes.channel import Channel, Exited, Output
from agent_kernel.sandboxes.toolbox import Toolbox
from agent_kernel.tools.computer.session import Batch, perform

SHOT = "/tmp/shot.png"
MEMORY = r"""
for folder in /proc/[0-9]*; do
  name=$(cat $folder/comm 2>/dev/null) || continue
  case $name in
    chrom*) kind=browser ;;
    Xvfb | openbox | python3) kind=rest ;;
    *) continue ;;
  esac
  grep -q boxd $folder/cmdline && continue
  echo $kind $name $(awk '/^Pss:/ {print $2}' $folder/smaps_rollup)
done 2>/dev/null
"""
"""Prints the proportional memory in kB of the processes of the browser, and of the rest of the desktop."""
SECONDS_AT_REST = 5
TICKS = r"""
ticks() {
  for each in $(pgrep -x Xvfb; pgrep -x openbox; pgrep -f '^python3 -I -c import os'); do
    cat /proc/$each/stat
  done | awk '{n += $14 + $15} END {print n}'
}
ticks; sleep "$SECONDS_AT_REST"; ticks
"""
"""Prints the processor time of the desktop without its browser twice, in hundredths of a second."""


@asynccontextmanager
async def with_desktop() -> AsyncIterator[Channel]:
    """Yield a channel into a sandbox with a desktop that has started."""
    with tempfile.TemporaryDirectory() as folder:
        backend = BubblewrapBackend(Path(folder), Toolbox(RuntimeSettings().data_path()))
        ref = await backend.create(SandboxSpec(f"bench-{secrets.token_hex(4)}", memory=2 << 30))
        channel = await Channel.open(await backend.stream(ref))
        try:
            focus = {"type": "keypress", "keys": ["ctrl+l"]}
            await ours(channel, focus)
            yield channel
        finally:
            await channel.aclose()
            await backend.delete(ref)
            await backend.aclose()


async def ours(channel: Channel, action: dict[str, Any]) -> None:
    """Carry out an action with a screenshot as the tool does."""
    done = await perform(channel, Batch(secrets.token_hex(4), [action], quiet=0.0, rules=tuple(RULES)))
    if done.status != "ok":
        raise SystemExit(" ".join(done.said))


async def run(channel: Channel, command: str) -> bytes:
    """Return what a command prints."""
    printed = bytearray()
    async for event in channel.run(command):
        if isinstance(event, Output):
            printed += event.data
        elif event != Exited(0):
            raise SystemExit(f"{command}: {event} {printed.decode()}")
    return bytes(printed)


async def theirs(channel: Channel, words: str) -> None:
    """Carry out an action by xdotool, take a screenshot by scrot, and fetch it."""
    await run(channel, f"export DISPLAY=:0; xdotool {words} && scrot -o {SHOT}")
    size = sum([len(piece) async for piece in channel.get(SHOT)])
    if not size:
        raise SystemExit("scrot wrote an empty file")


async def measure(runs: int) -> dict[str, Any]:
    """Return medians in ms, ratios, memory in MB, and the share of a processor that is used at rest."""
    kinds: dict[str, tuple[dict[str, Any], str]] = {
        "type a letter": ({"type": "type", "text": "a"}, "type --delay 0 a"),
        "move the mouse": ({"type": "move", "x": 600, "y": 600}, "mousemove 600 600"),
    }
    taken: dict[str, list[float]] = {}
    async with with_desktop() as channel:
        for _ in range(runs):
            for name, (action, words) in kinds.items():
                for who, call in (("ours", ours(channel, action)), ("xdotool", theirs(channel, words))):
                    start = time.perf_counter()
                    await call
                    taken.setdefault(f"{name}, {who}", []).append(1000 * (time.perf_counter() - start))
        lines = [line.split() for line in (await run(channel, MEMORY)).decode().splitlines()]
        await ours(channel, {"type": "keypress", "keys": ["ctrl+l"]})
        await ours(channel, {"type": "type", "text": "about:blank\n"})
        for _ in range(2):
            await ours(channel, {"type": "wait"})
        before, after = map(int, (await run(channel, f"SECONDS_AT_REST={SECONDS_AT_REST}{TICKS}")).split())
    medians = {name: statistics.median(values) for name, values in taken.items()}
    browser, rest = (
        sum(int(line[2]) for line in lines if line[0] == kind and len(line) > 2) / 1000
        for kind in ("browser", "rest")
    )
    return {
        "medians": medians,
        "ratios": {name: medians[f"{name}, ours"] / medians[f"{name}, xdotool"] for name in kinds},
        "at_rest": (after - before) / 100 / SECONDS_AT_REST,
        "memory": {"browser": browser, "desktop": browser + rest, "ratio": (browser + rest) / browser},
    }


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = asyncio.run(measure(arguments.runs))
    if arguments.json:
        print(json.dumps(found))
        return
    for name, value in found["medians"].items():
        print(f"{name}: {value:.1f} ms")
    for name, value in found["ratios"].items():
        print(f"{name}: {value:.2f} of xdotool and scrot")
    memory = found["memory"]
    desktop, browser, ratio = (f"{memory[name]:.3g}" for name in ("desktop", "browser", "ratio"))
    print(f"at rest: {found['at_rest']:.3f} of a processor")
    print(f"memory: {desktop} MB, {ratio} of the browser's {browser} MB")


if __name__ == "__main__":
    main()
