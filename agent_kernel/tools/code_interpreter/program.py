"""The program of a session: its source, and the command that starts it in a sandbox."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from agent_kernel.tools.code_interpreter.inside import HERE, ORDER
from agent_kernel.tools.code_interpreter.names import NAMES_FILE

NAME = "python"
"""The language of a session, and the name of its program in the sandbox; the other is `r`."""

_BOOT = """\
import os, sys
size, source = int(sys.argv[1]), b""
while len(source) < size:
    piece = os.read(0, size - len(source))
    if not piece:
        sys.exit(1)
    source += piece
if sys.path and sys.path[0] == "":
    sys.path.pop(0)  # files of the user must not take the place of modules that are needed here
exec(source)
"""

_LOADER = """\
import builtins, types
own = dict(vars(builtins))  # a cell may change those of the others
package = sys.modules["agent_kernel_session"] = types.ModuleType("agent_kernel_session")
package.__path__ = []
for name, text in SOURCES.items():
    full = "agent_kernel_session." + name
    module = sys.modules[full] = types.ModuleType(full)
    module.__package__ = "agent_kernel_session"
    module.__builtins__ = own
    exec(compile(text, "<agent-kernel " + name + ">", "exec"), module.__dict__)
    setattr(package, name, module)
package.session.main(LIMIT, NAMES, LANGUAGE)
"""


@cache
def source(characters: int, language: str = NAME) -> bytes:
    """Return the session's program, which keeps at most `characters` of a cell's logs."""
    folder = Path(__file__).parent / "inside"
    texts = {name: (folder / f"{name}.py").read_text(encoding="utf-8") for name in ORDER}
    sources = {
        name: text.replace(f"from {HERE}", "from agent_kernel_session") for name, text in texts.items()
    }
    settings = f"LIMIT = {characters}\nNAMES = {NAMES_FILE.format(language)!r}\nLANGUAGE = {language!r}\n"
    return f"{settings}SOURCES = {sources!r}\n{_LOADER}".encode()


def command(characters: int, language: str = NAME) -> list[str]:
    """Return the command that starts the session; it then reads `source` from its input."""
    return ["python3", "-c", _BOOT, str(len(source(characters, language)))]
