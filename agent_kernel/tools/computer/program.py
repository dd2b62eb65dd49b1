"""The programs that drive and show a desktop: their source, and the commands that start them in a sandbox."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from agent_kernel.tools.computer.inside import HERE, ORDER

NAME = "computer"
"""The driver's name in the sandbox."""

DRIVER, WATCH = "driver", "watch"
"""The modules of both programs."""

_BOOT = """\
import os, sys
size, source = int(sys.argv[1]), b""
while len(source) < size:
    piece = os.read(0, size - len(source))
    if not piece:
        sys.exit(1)
    source += piece
exec(source)
"""

_LOADER = """\
import sys, types
package = sys.modules["agent_kernel_computer"] = types.ModuleType("agent_kernel_computer")
package.__path__ = []
for name, text in SOURCES.items():
    full = "agent_kernel_computer." + name
    module = sys.modules[full] = types.ModuleType(full)
    module.__package__ = "agent_kernel_computer"
    exec(compile(text, "<agent-kernel " + name + ">", "exec"), module.__dict__)
    setattr(package, name, module)
package.MAIN.main()
"""


@cache
def source(main: str = DRIVER) -> bytes:
    """Return a program."""
    folder = Path(__file__).parent / "inside"
    texts = {name: (folder / f"{name}.py").read_text(encoding="utf-8") for name in ORDER}
    sources = {
        name: text.replace(f"from {HERE}", "from agent_kernel_computer") for name, text in texts.items()
    }
    return f"SOURCES = {sources!r}\n{_LOADER.replace('MAIN', main)}".encode()


def command(main: str = DRIVER) -> list[str]:
    """Return the command that starts a program; it then reads `source` from its input.

    `-I` keeps files of the user from taking the place of Python's modules.
    """
    return ["python3", "-I", "-c", _BOOT, str(len(source(main)))]
