"""Magics for the Python session: `%%python`, `%%r`, `%python`, `%vars`, `%get`, `%put`."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent_kernel.errors import CapabilityMissing, InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent_kernel.kernel.notebook import Notebook
    from agent_kernel.kernel.outputs import CellOutputs
    from agent_kernel.kernel.python.asking import Answer

RESTARTED = "The user restarted the Python session: its variables and imports are gone; files are kept."

_ROWS, _MOST_ROWS = 10, 100
_GET = "Use %get NAME [--head N] [--csv FILE [--force]]."


async def python(notebook: Notebook, outputs: CellOutputs, arguments: str) -> None:
    """Run the rest of the cell in the Python session."""
    await notebook.python(_code("%%python", arguments), outputs)


async def r(notebook: Notebook, outputs: CellOutputs, arguments: str) -> None:
    """Run the rest of the cell in the R session."""
    await notebook.python(_code("%%r", arguments), outputs, "r")


def _code(magic: str, arguments: str) -> str:
    options, _, code = arguments.partition("\n")
    hint = "Write the code on the lines below it."
    if options.strip():
        raise InvalidRequest(f"{magic} does not know {options.strip()!r}.", hint=hint)
    if not code.strip():
        raise InvalidRequest(f"{magic} has no code.", hint=hint)
    return code


async def control(notebook: Notebook, outputs: CellOutputs, arguments: str) -> None:
    """End the session. The next cell begins a new one."""
    from agent_kernel.kernel.python.asking import BEGIN, ask
    from agent_kernel.kernel.render.bundles import note

    if arguments.strip() != "restart":
        raise InvalidRequest(
            f"%python does not know {arguments.strip()!r}." if arguments.strip() else "%python needs a word.",
            hint="%python restart ends the session; %%python runs the lines below it.",
        )
    answer = await ask(notebook, {"ask": "end"})
    if answer is None:
        outputs.emit(note(f"There is no Python session. {BEGIN}"))
        return
    if answer["session"] == "busy":
        raise CapabilityMissing("Another client uses the Python session.", hint="Try again.")
    notebook.tell_model(RESTARTED)
    outputs.emit(note("The Python session was restarted: variables and imports are gone. Files are kept."))


async def variables(notebook: Notebook, outputs: CellOutputs, arguments: str) -> None:
    """Show a table of the session's variables."""
    from agent_kernel.kernel.python.asking import looked
    from agent_kernel.kernel.render.bundles import note, table

    if arguments:
        raise InvalidRequest("%vars takes no arguments.", hint="%get NAME shows one variable.")
    rows, also = listed(await looked(notebook, {"ask": "variables"}))
    if not rows:
        outputs.result(note(f"The Python session has no variables{_and(also)}."))
        return
    header = ["name", "type", "shape", "memory", "value"]
    outputs.result(table(header, rows, f"Not listed: {', '.join(also)}." if also else "").bundle())


def listed(found: Answer) -> tuple[list[list[str]], list[str]]:
    """Return the rows of `%vars` (name, type, shape, memory, value), and in words what is not listed."""
    from agent_kernel.kernel.render.text import size

    rows = [
        [name, kind, shape, "" if held is None else size(held), preview]
        for name, kind, shape, held, preview in found["rows"]
    ]
    left, code = found["count"] - len(rows), found["code"]
    one = "1 module, function or class"
    also = [
        *([f"{left:,} more variables"] if left > 0 else []),
        *([one if code == 1 else f"{code:,} modules, functions and classes"] if code else []),
    ]
    return rows, also


def _and(also: Sequence[str]) -> str:
    return f", only {' and '.join(also)}" if also else ""


@dataclass(frozen=True)
class TableAsked:
    """The arguments of `%get`. `csv` is the file to write, or None."""

    name: str
    rows: int = _ROWS
    csv: str | None = None
    force: bool = False

    @classmethod
    def read(cls, arguments: str) -> TableAsked:
        """Parse the arguments. Raises `InvalidRequest`."""
        words, found = words_of("%get", arguments, _GET), dict[str, Any]()
        while words:
            word = words.pop(0)
            if word == "--force" and "force" not in found:
                found["force"] = True
            elif word == "--csv" and words and "csv" not in found:
                found["csv"] = words.pop(0)
            elif word == "--head" and words and words[0].isdecimal() and "rows" not in found:
                found["rows"] = min(int(words.pop(0)[:9]), _MOST_ROWS)
            elif not word.startswith("-") and "name" not in found:
                found["name"] = word
            else:
                raise InvalidRequest(f"%get does not know {word!r}.", hint=_GET)
        if "name" not in found:
            raise InvalidRequest("%get needs the name of a variable.", hint="%vars lists them.")
        return cls(**found)


def words_of(magic: str, arguments: str, usage: str) -> list[str]:
    """Return the words of a magic's arguments. Raises `InvalidRequest` for an open quotation mark."""
    try:
        return shlex.split(arguments)
    except ValueError as error:
        raise InvalidRequest(f"The arguments of {magic} cannot be read: {error}.", hint=usage) from error


async def get(notebook: Notebook, outputs: CellOutputs, arguments: str) -> None:
    """Show a variable as a table, or write it to the notebook's folder as CSV."""
    from agent_kernel.kernel.python.tables import save_csv, show
    from agent_kernel.kernel.transfer.downloads import check_target

    asked = TableAsked.read(arguments)
    if asked.csv is None:
        await show(notebook, outputs, asked.name, asked.rows)
        return
    check_target(asked.csv, force=asked.force)
    await save_csv(notebook, outputs, asked.name, asked.csv, force=asked.force)


async def put(notebook: Notebook, outputs: CellOutputs, arguments: str) -> None:
    """Upload a file and read it into a variable."""
    from agent_kernel.kernel.python.tables import send

    usage = "Use %put FILE [NAME]."
    words = words_of("%put", arguments, usage)
    if not 1 <= len(words) <= 2 or words[0].startswith("--"):
        raise InvalidRequest("%put needs a file, and optionally the name of a variable.", hint=usage)
    await send(notebook, outputs, words[0], words[1] if len(words) == 2 else None)
