"""Changes to libraries of charts when they are imported, so that their `show` shows in the cell."""

from __future__ import annotations

import importlib.util
import sys

from agent_kernel.tools.code_interpreter.inside.figures import watch
from agent_kernel.tools.code_interpreter.inside.screen import Screen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Hooks:
    """A finder that changes modules just after their own code has run."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._finding = False
        self._changes: dict[str, Callable[[Any], None]] = {
            "matplotlib.figure": watch,
            "matplotlib.pyplot": self._pyplot,
            "plotly.basedatatypes": self._plotly,
        }

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Return the module's own spec, with a loader that also changes the module."""
        change = self._changes.get(name)
        if change is None or self._finding:
            return None
        self._finding = True
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self._finding = False
        if spec is not None and spec.loader is not None:
            run = spec.loader.exec_module

            def exec_module(module: Any) -> None:
                run(module)
                change(module)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec

    def _pyplot(self, module: Any) -> None:
        def show(*_: Any, **__: Any) -> None:
            """Show the open figures here."""
            self._screen.figures()

        module.show = show

    def _plotly(self, module: Any) -> None:
        def show(figure: Any, *_: Any, **__: Any) -> None:
            """Show the figure here."""
            self._screen.show(figure)

        module.BaseFigure.show = show

    def install(self) -> None:
        """Change modules that are imported from now on."""
        sys.meta_path.insert(0, self)
