"""Runs cells with IPython, where the image has it: magics, `!`, rich displays, its own tracebacks."""

from __future__ import annotations

import base64
import builtins
from importlib import import_module

from agent_kernel.tools.code_interpreter.inside.engine import adopt, main_module, refuse_input
from agent_kernel.tools.code_interpreter.inside.names import visible

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

PICTURES = ("image/png", "image/jpeg")


class IPythonEngine:
    """As `engine.PlainEngine`. `picture` takes the MIME type and the bytes of a picture that is displayed."""

    def __init__(self, picture: Callable[[str, bytes], None], say: Callable[[str], None]) -> None:
        self._picture = picture
        self._say = say
        self._shell = self._made()
        builtins.input = refuse_input

    def _made(self) -> Any:
        base: Any = import_module("IPython.core.interactiveshell").InteractiveShell
        of_class: Any = import_module("traitlets").Type
        say = self._say

        class Shell(base):  # type: ignore[misc]  # IPython is known only inside
            """IPython's shell with our displays."""

            displayhook_class = of_class(_hook(self.show))
            display_pub_class = of_class(_publisher(self.show))
            system = base.system_raw  # the other one needs a terminal

            def _showtraceback(self, etype: Any, evalue: Any, stb: Any) -> None:
                say("\n".join(map(str, stb)) + "\n")

        config: Any = import_module("traitlets.config").Config()
        config.HistoryManager.enabled = False
        config.InteractiveShell.colors = "nocolor"
        return Shell.instance(config=config, user_module=main_module())

    def show(self, data: Any) -> None:
        """Show what IPython displays: its picture, or its text."""
        for kind in PICTURES:
            found = data.get(kind)
            if isinstance(found, str):
                found = base64.b64decode(found)
            if isinstance(found, bytes):
                self._picture(kind, found)
                return
        text = data.get("text/plain")
        if isinstance(text, str):
            self._say(text + "\n")

    def run(self, code: str, number: int) -> bool:
        """Run a cell. Return whether it ended without an exception. `KeyboardInterrupt` is raised."""
        result = self._shell.run_cell(code, store_history=True)
        error = result.error_before_exec or result.error_in_exec
        if isinstance(error, KeyboardInterrupt):
            raise error
        return error is None

    def adopt(self, variables: dict[str, str | None]) -> None:
        """Set environment variables; None removes one."""
        adopt(variables)

    def names(self) -> list[str]:
        """Return the names of the user's variables."""
        return visible(self._shell.user_ns, self._shell.user_ns_hidden)


def _hook(show: Callable[[Any], None]) -> Any:
    base: Any = import_module("IPython.core.displayhook").DisplayHook

    class Hook(base):  # type: ignore[misc]  # IPython is known only inside
        """Shows the value of a last expression."""

        def write_output_prompt(self) -> None:
            """Write none."""

        def write_format_data(self, format_dict: Any, md_dict: Any = None) -> None:
            """Show the value."""
            show(format_dict)

        def finish_displayhook(self) -> None:
            """Write nothing more."""

    return Hook


def _publisher(show: Callable[[Any], None]) -> Any:
    base: Any = import_module("IPython.core.displaypub").DisplayPublisher

    class Publisher(base):  # type: ignore[misc]  # IPython is known only inside
        """Shows what `display` is given."""

        def publish(self, data: Any, metadata: Any = None, **_: Any) -> None:
            """Show it."""
            show(data)

        def clear_output(self, wait: bool = False) -> None:
            """Keep what was shown: a record has no screen."""

    return Publisher
