"""Runs cells with IPython, where the image has it: magics, `!`, rich displays, its own tracebacks."""

from __future__ import annotations

import builtins
from importlib import import_module

from agent_kernel.tools.code_interpreter.inside import representations
from agent_kernel.tools.code_interpreter.inside.engine import adopt, main_module, refuse_input, words_of
from agent_kernel.tools.code_interpreter.inside.names import visible
from agent_kernel.tools.code_interpreter.inside.screen import RESULT, Screen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class IPythonEngine:
    """As `engine.PlainEngine`."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._shell = self._made()
        builtins.input = refuse_input

    def _made(self) -> Any:
        base: Any = import_module("IPython.core.interactiveshell").InteractiveShell
        of_class: Any = import_module("traitlets").Type
        screen = self._screen

        class Shell(base):  # type: ignore[misc]  # IPython is known only inside
            """IPython's shell with our displays."""

            displayhook_class = of_class(_hook(screen))
            display_pub_class = of_class(_publisher(screen))
            system = base.system_raw  # the other one needs a terminal

            def init_display_formatter(self) -> None:
                self.display_formatter = _formatter(screen)(parent=self)
                self.configurables.append(self.display_formatter)

            def _showtraceback(self, etype: Any, evalue: Any, stb: Any) -> None:
                if etype is KeyboardInterrupt:  # told by the session
                    return
                screen.error(str(getattr(etype, "__name__", etype)), words_of(evalue), list(map(str, stb)))

        config: Any = import_module("traitlets.config").Config()
        config.HistoryManager.enabled = False
        config.InteractiveShell.colors = "neutral"
        config.Completer.use_jedi = False  # it guesses from the code; here the objects are at hand
        return Shell.instance(config=config, user_module=main_module())

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

    def variables(self) -> dict[str, Any]:
        """Return what the cells have defined, by name."""
        hidden = self._shell.user_ns_hidden
        return {
            name: value
            for name, value in self._shell.user_ns.items()
            if not name.startswith("_") and not (name in hidden and value is hidden[name])
        }

    def complete(self, code: str, cursor: int) -> tuple[int, list[str]]:
        """Return where the completed text begins, and the texts that can stand there."""
        completer: Any = import_module("IPython.core.completer")
        with completer.provisionalcompleter():
            found = self._shell.Completer.completions(code, cursor)
            rectified = list(completer.rectify_completions(code, found))
        start = rectified[0].start if rectified else cursor
        return start, [each.text for each in rectified]

    def describe(self, code: str, cursor: int, detail: int) -> str | None:
        """Return help about the object at the cursor, None if there is none."""
        token_at: Any = import_module("IPython.utils.tokenutil").token_at_cursor
        try:
            bundle = self._shell.object_inspect_mime(token_at(code, cursor), detail_level=detail)
        except KeyError:  # no such object
            return None
        text = bundle.get("text/plain")
        return text if isinstance(text, str) else None


def _formatter(screen: Screen) -> Any:
    base: Any = import_module("IPython.core.formatters").DisplayFormatter

    class Formatter(base):  # type: ignore[misc]  # IPython is known only inside
        """Draws charts."""

        def format(self, obj: Any, include: Any = None, exclude: Any = None) -> Any:
            """Return the representations of an object."""
            chart = representations.chart_of(obj, screen.say)
            return chart if chart is not None else super().format(obj, include, exclude)

    return Formatter


def _hook(screen: Screen) -> Any:
    base: Any = import_module("IPython.core.displayhook").DisplayHook

    class Hook(base):  # type: ignore[misc]  # IPython is known only inside
        """Shows the value of a last expression."""

        def write_output_prompt(self) -> None:
            """Write none."""

        def write_format_data(self, format_dict: Any, md_dict: Any = None) -> None:
            """Show the value."""
            screen.publish(format_dict, md_dict, RESULT)

        def finish_displayhook(self) -> None:
            """Write nothing more."""

    return Hook


def _publisher(screen: Screen) -> Any:
    base: Any = import_module("IPython.core.displaypub").DisplayPublisher

    class Publisher(base):  # type: ignore[misc]  # IPython is known only inside
        """Shows what `display` is given."""

        def publish(
            self, data: Any, metadata: Any = None, *, transient: Any = None, update: bool = False, **_: Any
        ) -> None:
            """Show it."""
            name = transient.get("display_id") if isinstance(transient, dict) else None
            screen.publish(data, metadata, name=name, update=update)

        def clear_output(self, wait: bool = False) -> None:
            """Drop what the cell has shown so far."""
            screen.clear(wait)

    return Publisher
