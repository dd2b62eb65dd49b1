"""Runs cells with Python's standard library alone: all statements, then the value of a last expression."""

from __future__ import annotations

import ast
import builtins
import inspect
import linecache
import os
import sys
import traceback
import types

from agent_kernel.tools.code_interpreter.inside.names import visible

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_NO_INPUT = "input() is not available here: nobody can answer. Put the value into the code."


def refuse_input(*_: object, **__: object) -> str:
    """Stand in for `input`."""
    raise RuntimeError(_NO_INPUT)


def adopt(variables: dict[str, str | None]) -> None:
    """Set variables of this process."""
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def main_module() -> types.ModuleType:
    """Make the module in which cells run, so that what they define can be pickled."""
    module = types.ModuleType("__main__")
    module.__dict__["__builtins__"] = builtins
    sys.modules["__main__"] = module
    return module


class PlainEngine:
    """Keeps the variables from cell to cell. `show` displays a value, `say` adds to what was printed."""

    def __init__(self, show: Callable[[Any], None], say: Callable[[str], None]) -> None:
        self._show = show
        self._say = say
        self._names = main_module().__dict__
        self._loop: Any = None
        builtins.input = refuse_input

        def display(*values: Any, **_: Any) -> None:
            """Show values, in order with what is printed."""
            for value in values:
                show(value)

        builtins.display = display  # type: ignore[attr-defined]

    def run(self, code: str, number: int) -> bool:
        """Run a cell. Return whether it ended without an exception; one is shown as a traceback.

        `KeyboardInterrupt` is raised.
        """
        name = f"<cell {number}>"
        linecache.cache[name] = (len(code), None, code.splitlines(True), name)
        try:
            tree = ast.parse(code, name)
            last = tree.body[-1] if tree.body else None
            if isinstance(last, ast.Expr):
                tree.body.pop()
            self._run(compile(tree, name, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, True))
            if isinstance(last, ast.Expr):
                flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
                value = self._run(compile(ast.Expression(last.value), name, "eval", flags, True))
                if value is not None and not code.rstrip().endswith(";"):
                    self._names["_"] = value
                    self._show(value)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 (a cell may raise anything, also SystemExit)
            self._say(told(error, name))
            return False
        return True

    def adopt(self, variables: dict[str, str | None]) -> None:
        """Set environment variables; None removes one."""
        adopt(variables)

    def names(self) -> list[str]:
        """Return the names of the user's variables."""
        return visible(self._names)

    def _run(self, code: types.CodeType) -> Any:
        value = eval(code, self._names)  # noqa: S307 (this is what a session is for)
        if not code.co_flags & inspect.CO_COROUTINE:
            return value
        import asyncio

        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        return self._loop.run_until_complete(value)


def told(error: BaseException, name: str) -> str:
    """Return an exception as text: the traceback from the cell's first line on."""
    found = error.__traceback__
    while found is not None and found.tb_frame.f_code.co_filename != name:
        found = found.tb_next
    return "".join(traceback.format_exception(type(error), error, found))
