"""Runs cells with Python's standard library alone: all statements, then the value of a last expression."""

from __future__ import annotations

import ast
import builtins
import inspect
import linecache
import os
import re
import sys
import traceback
import types

from agent_kernel.tools.code_interpreter.inside import shim
from agent_kernel.tools.code_interpreter.inside.helping import completions, description
from agent_kernel.tools.code_interpreter.inside.names import visible
from agent_kernel.tools.code_interpreter.inside.screen import RESULT, Display, Screen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_PLACE = re.compile(r"(  File )(\"[^\"]*\")(, line )(\d+)")
_NAMED = re.compile(r"[A-Za-z_][\w.]*(?=:|$)")
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
    """Keeps the variables from cell to cell. Displays go to `screen`."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._names = main_module().__dict__
        self._loop: Any = None
        display = Display(screen)
        builtins.input = refuse_input
        builtins.display = display.display  # type: ignore[attr-defined]
        shim.install(display)

    def run(self, code: str, number: int) -> bool:
        """Run a cell. Return whether it ended without an exception; one is shown with its traceback.

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
                    self._screen.show(value, RESULT)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 (a cell may raise anything, also SystemExit)
            self._screen.error(type(error).__name__, words_of(error), told(error, name))
            return False
        return True

    def adopt(self, variables: dict[str, str | None]) -> None:
        """Set environment variables; None removes one."""
        adopt(variables)

    def names(self) -> list[str]:
        """Return the names of the user's variables."""
        return visible(self._names)

    def variables(self) -> dict[str, Any]:
        """Return what the cells have defined, by name."""
        return {name: value for name, value in self._names.items() if not name.startswith("_")}

    def complete(self, code: str, cursor: int) -> tuple[int, list[str]]:
        """Return where the completed text begins, and the texts that can stand there."""
        return completions(self._names, code, cursor)

    def describe(self, code: str, cursor: int, detail: int) -> str | None:
        """Return help about the object at the cursor, None if there is none."""
        return description(self._names, code, cursor, detail)

    def _run(self, code: types.CodeType) -> Any:
        value = eval(code, self._names)  # noqa: S307 (this is what a session is for)
        if not code.co_flags & inspect.CO_COROUTINE:
            return value
        import asyncio

        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        return self._loop.run_until_complete(value)


def words_of(error: BaseException) -> str:
    """Return an exception's own text."""
    try:
        return str(error)
    except Exception:  # noqa: BLE001 (the class is a cell's)
        return "<no text>"


def told(error: BaseException, name: str) -> list[str]:
    """Return an exception as lines with colours: the traceback from the cell's first line on."""
    found = error.__traceback__
    while found is not None and found.tb_frame.f_code.co_filename != name:
        found = found.tb_next
    lines = "".join(traceback.format_exception(type(error), error, found)).rstrip("\n").split("\n")
    return [_coloured(line) for line in lines]


def _coloured(line: str) -> str:
    if place := _PLACE.match(line):
        return f"{place[1]}\x1b[32m{place[2]}\x1b[0m{place[3]}\x1b[36m{place[4]}\x1b[0m{line[place.end() :]}"
    if named := _NAMED.match(line):
        return f"\x1b[1;31m{named[0]}\x1b[0m{line[named.end() :]}"
    return line
