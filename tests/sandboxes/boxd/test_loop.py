"""boxd's event loop: which callback is called when descriptors change hands."""

from __future__ import annotations

import json
import subprocess
import sys

SCRIPT = """
import json, os, selectors
from agent_kernel.sandboxes.boxd.loop import Loop

loop, called, pipes = Loop(), [], [os.pipe() for _ in range(2)]

def first(fd, other, mask):
    called.append("first")
    loop.watch(fd, 0, None)
    loop.watch(other, selectors.EVENT_READ, second)

def second(mask):
    called.append("second")
    loop.stop()

for (fd, writable), (other, _) in zip(pipes, reversed(pipes)):
    os.write(writable, b"x")
    loop.watch(fd, selectors.EVENT_READ, lambda mask, fd=fd, other=other: first(fd, other, mask))
loop.run()
print(json.dumps(called))
"""


def test_replaced_callback_is_not_called() -> None:
    """Both pipes are ready at once; the first callback gives the other pipe to another callback."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, timeout=30
    )
    assert json.loads(done.stdout) == ["first", "second"]
