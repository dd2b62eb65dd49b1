"""The program that applies a patch: its source, and the command that runs it in a sandbox."""

from __future__ import annotations

from functools import cache
from pathlib import Path

NAME = "apply_patch"
ROOT = "/mnt/data"

_MODULES = ("v4a", "patch")
_MAIN = """\
import sys, types
package = sys.modules["agent_kernel_patch"] = types.ModuleType("agent_kernel_patch")
package.__path__ = []
for name, text in SOURCES.items():
    module = sys.modules["agent_kernel_patch." + name] = types.ModuleType("agent_kernel_patch." + name)
    module.__package__ = "agent_kernel_patch"
    exec(compile(text, "<agent-kernel " + name + ">", "exec"), module.__dict__)
module.main(ROOT)
"""


@cache
def command() -> list[str]:
    """Return the command. It reads an operation as JSON from its input, and prints the result as JSON.

    `-I` keeps files of the user from taking the place of Python's modules.
    """
    folder = Path(__file__).parent / "inside"
    texts = {name: (folder / f"{name}.py").read_text(encoding="utf-8") for name in _MODULES}
    sources = {
        name: text.replace("from agent_kernel.tools.apply_patch.inside", "from agent_kernel_patch")
        for name, text in texts.items()
    }
    return ["python3", "-I", "-c", f"ROOT = {ROOT!r}\nSOURCES = {sources!r}\n{_MAIN}"]
