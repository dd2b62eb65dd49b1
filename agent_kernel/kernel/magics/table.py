"""The table of all magics: the `%name arguments` lines that a cell may begin with."""

from __future__ import annotations

import difflib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from agent_kernel.errors import InvalidRequest
from agent_kernel.kernel.magics import approve as magics_approve
from agent_kernel.kernel.magics import files as magics_files
from agent_kernel.kernel.magics import settings as magics_settings
from agent_kernel.kernel.magics import turns as magics_turns

if TYPE_CHECKING:
    from agent_kernel.kernel.notebook import Notebook
    from agent_kernel.kernel.outputs import CellOutputs
    from agent_kernel.kernel.render.bundles import Bundle

Run = Callable[["Notebook", "CellOutputs", str], Awaitable[None]]
"""Runs a magic with its arguments. Raises any `AgentKernelError`."""

Arguments = Literal["", "paths", "files", "models", "magics"]
"""What Tab completes in an argument: local paths, files in the container, models or magics."""


@dataclass(frozen=True)
class Magic:
    """A magic: its usage, a one-line summary, and further help.

    `words` are the options that Tab offers; `takes_turn` is true if it runs commands that a live view should
    show.
    """

    usage: str
    summary: str
    run: Run
    more: str = ""
    arguments: Arguments = ""
    words: tuple[str, ...] = ()
    takes_turn: bool = False

    @property
    def help(self) -> str:
        """The whole help as plain text."""
        return f"{self.usage}\n{self.summary}" + (f"\n\n{self.more}" if self.more else "")


async def _help(notebook: Notebook, outputs: CellOutputs, arguments: str) -> None:
    from agent_kernel.kernel.render.bundles import table

    name = arguments.removesuffix("?").strip()
    if name:
        outputs.emit(page(find(name.removeprefix("%"))))
        return
    rows = [[magic.usage, magic.summary] for magic in MAGICS.values()]
    rows.append(["!COMMAND", "Run a command in the container's shell; the model sees it and its output."])
    rows.append(["!!COMMAND", "Run a command in the same shell without telling the model."])
    rows.append(["@FILE", "In a prompt: upload that file of yours, once and again when it has changed."])
    rows.append(["%NAME?", "More about one of these lines; %help NAME shows it below the cell."])
    outputs.emit(table(["line", "what it does"], rows, _HELP).bundle())


_HELP = (
    "A cell is a prompt: the model reads it, runs commands in this notebook's own container, and "
    "answers. Files, variables and the conversation stay from cell to cell. Above the prompt a cell may "
    "have these lines:"
)


def page(magic: Magic) -> Bundle:
    """Return the help of one magic as a bundle."""
    from agent_kernel.kernel.render.bundles import ShownItem, pre
    from agent_kernel.kernel.render.text import fence

    return ShownItem(pre(magic.help), fence(magic.help, "text"), magic.help).bundle()


MAGICS: dict[str, Magic] = {
    "upload": Magic(
        "%upload PATH ...",
        "Copy files of yours into the container, to /mnt/data.",
        magics_files.upload,
        "Relative paths are taken from the notebook's folder. A folder is copied with all in it; patterns "
        "like data/*.csv and **/*.csv are expanded, and keep the folders below their first wildcard. Hidden "
        "files and links in a folder are left out, and counted. All files are looked at first: if one is "
        "missing or too large, none is copied. In a prompt @PATH does the same.",
        arguments="paths",
    ),
    "download": Magic(
        "%download NAME [TO] [--force]",
        "Copy files of the container to the notebook's folder, or where you say.",
        magics_files.download,
        "NAME is a file, a folder or a pattern ('out/*.csv', quoted or not) in /mnt/data. TO is a file, or "
        "a folder if it ends in / or is one. What is there already is replaced with --force only. Each file "
        "appears whole or not at all.",
        arguments="files",
        words=("--force",),
    ),
    "files": Magic(
        "%files [FOLDER]",
        "Show the files in the container as a tree.",
        magics_files.files,
        arguments="files",
    ),
    "model": Magic(
        "%model [NAME | --default]",
        "List models, or switch this notebook's model.",
        magics_settings.model,
        "Names: openai/NAME, responses/NAME, chat/NAME, ollama/NAME, scripted/FILE. The conversation goes "
        "on. --default goes back to what is configured.",
        arguments="models",
        words=("--default",),
    ),
    "instructions": Magic(
        "%instructions [TEXT | --clear]",
        "Say or change what the model is told before every turn, beside the kernel's own instructions.",
        magics_settings.instructions,
        "%%instructions takes all lines below it as the text.",
        words=("--clear",),
    ),
    "%instructions": Magic(
        "%%instructions",
        "The rest of the cell is what the model is told before every turn from here on.",
        magics_settings.instructions,
    ),
    "budget": Magic(
        "%budget [tokens=N] [seconds=N] [tool_calls=N] [--clear]",
        "Say or change how much one turn may use before it is ended.",
        magics_settings.budget,
        "A turn that reaches a limit ends as incomplete, keeps what was done, and can be continued.",
        words=("tokens=", "seconds=", "tool_calls=", "--clear"),
    ),
    "approve": Magic(
        "%approve [auto | ask | never] [allow|ask|deny PATTERN] [--clear]",
        "Say or change which commands run by themselves, which you are asked about, which never run.",
        magics_approve.approve,
        "%approve ask asks before every command from here on, %approve ask rm * before those with rm in it. "
        "A pattern that allows must match the whole command. The newest rule comes first. --clear takes back "
        "what was said here and the kinds that you have allowed. What the operator has set holds beside it.",
        words=("auto", "ask", "never", "allow", "deny", "--clear"),
    ),
    "set": Magic(
        "%set NAME=VALUE",
        "Set a parameter: a shell variable that the model is told of.",
        magics_settings.set_parameter,
        "VALUE is JSON (a number, true, a list ...) or else text. papermill -p NAME VALUE writes such lines.",
    ),
    "container": Magic(
        "%container [--reset-shell | --new [memory=1g]]",
        "Show the notebook's container, give it a fresh shell, or replace it with an empty one.",
        magics_settings.container,
        "--reset-shell ends a running command and forgets variables, functions and the working directory; "
        "files and background processes stay. "
        "memory may be 1g, 4g, 16g or 64g where the sandbox can limit it. The conversation goes on.",
        words=("--reset-shell", "--new", "memory="),
    ),
    "usage": Magic(
        "%usage",
        "Say how many tokens each cell has used, and what that cost where the model's price is configured.",
        magics_turns.usage,
    ),
    "replay": Magic(
        "%replay [N | last]",
        "Show the outputs of a cell's turns again, from the runtime's store.",
        magics_turns.replay,
        "For outputs that were lost with a closed tab. N is the number beside the cell, In [N]. Files are "
        "shown as they are now.",
        words=("last",),
    ),
    "%bash": Magic(
        "%%bash [--private]",
        "Run the rest of the cell as a script in the container's shell; the model sees it and its output.",
        magics_turns.bash,
        "It is the shell that the model uses: variables, functions and the working directory stay. With "
        "--private the model is not told.",
        words=("--private",),
        takes_turn=True,
    ),
    "help": Magic(
        "%help [NAME]", "Say what a cell can do, or more about one of these lines.", _help, arguments="magics"
    ),
}


def find(name: str) -> Magic:
    """Return the magic with this name. Raises `InvalidRequest` that suggests the nearest name and lists all."""
    if name in MAGICS:
        return MAGICS[name]
    known = ", ".join(f"%{each}" for each in MAGICS)
    near = difflib.get_close_matches(name, MAGICS, n=1, cutoff=0.5)
    guess = f"Did you mean %{near[0]}? " if near else ""
    raise InvalidRequest(
        f"There is no magic %{name}.",
        hint=f"{guess}There are {known}; !COMMAND runs a command in the container.",
    )
