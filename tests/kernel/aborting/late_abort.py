"""The kernel, in which a reply of an error is followed by the client's next cell before the kernel goes on.

Usually there is so little time between these that it happens once in a hundred times on a busy machine.
"""

from __future__ import annotations

import sys
import threading
from typing import Any

from ipykernel.kernelbase import Kernel
from jupyter_client.session import Session

from agent_kernel.cli import main

SECONDS = 60.0
came = threading.Event()
send, route = Session.send, Kernel.shell_channel_thread_main


def send_and_wait(
    session: Session, stream: Any, kind: Any, content: Any = None, *more: Any, **named: Any
) -> Any:
    """Send a message; after a reply of an error, wait until another cell has come."""
    failed = kind == "execute_reply" and content["status"] == "error"
    if failed:
        came.clear()
    sent = send(session, stream, kind, content, *more, **named)
    if failed:
        came.wait(SECONDS)
    return sent


async def route_and_tell(kernel: Kernel, message: Any) -> None:
    """Pass a message on to the thread that runs cells."""
    await route(kernel, message)  # type: ignore[no-untyped-call]  # ipykernel's
    if any(b"execute_request" in bytes(frame.buffer) for frame in message):
        came.set()


if __name__ == "__main__":
    Session.send = send_and_wait  # type: ignore[assignment]
    Kernel.shell_channel_thread_main = route_and_tell  # type: ignore[method-assign]
    sys.exit(main())
