"""`python3 boxd JSON`: serve a sandbox. Later hosts arrive by `attach`."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys

from .server import listen_at, serve


def main(arguments: list[str]) -> None:
    """Listen where the options say, and serve."""
    options = json.loads(arguments[0])
    kind, _, where = options["listen"].partition(":")
    if kind == "fd":
        _keep_only(int(where))
        serve(socket.socket(fileno=int(where)), None, options)
    else:
        serve(listen_at(where), where, options)


def _keep_only(fd: int) -> None:
    """Close everything else that the host handed down, which commands could reach through /proc/1/fd.

    Standard error stays until the sandbox has started.
    """
    os.set_inheritable(fd, False)
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) != fd:
            with contextlib.suppress(OSError):  # the descriptor of the listing
                os.close(int(name))
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1):
        os.dup2(null, standard)
    os.close(null)


if __name__ == "__main__":
    main(sys.argv[1:])
