"""Attempts to get past the network policy, as a program makes them inside a sandbox.

This folder is copied into the sandbox and runs there by itself, with facts as its argument. It makes each
attempt in turn, reports to the host that it has ended (as a connection to a name of its number), and prints
what became of each. The outcome of an attempt is text: what the program got, or why it got nothing.
"""

from __future__ import annotations

import json
import sys

from . import names, contents, devices  # isort: skip (they register their attempts, in the page's order)
from .ways import ATTEMPTS, FACTS, outcome, tunnel

__all__ = ["ATTEMPTS", "contents", "devices", "names"]


def main() -> None:
    FACTS.update(json.loads(sys.argv[1]))
    outcomes = {}
    for number, (name, function) in enumerate(ATTEMPTS.items()):
        outcomes[name] = outcome(function)
        tunnel(f"n{number}.ended.test:1".encode())
    print(json.dumps(outcomes))


if __name__ == "__main__":
    main()
