"""The table of all magics: the `%name arguments` lines that a cell may begin with."""

from __future__ import annotations

import difflib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from agent_kernel.errors import InvalidRequest
from agent_kernel.kernel.magics import approve as magics_approve
from agent_kernel.kernel.magics import branches as magics_branches
from agent_kernel.kernel.magics import diff as magics_diff
from agent_kernel.kernel.magics import documents as magics_documents
from agent_kernel.kernel.magics import files as magics_files
from agent_kernel.kernel.magics import mcp as magics_mcp
from agent_kernel.kernel.magics import mount as magics_mount
from agent_kernel.kernel.magics import network as magics_network
from agent_kernel.kernel.magics import python as magics_python
from agent_kernel.kernel.magics import record as magics_record
from agent_kernel.kernel.magics import screen as magics_screen
from agent_kernel.kernel.magics import session as magics_session
from agent_kernel.kernel.magics import settings as magics_settings
from agent_kernel.kernel.magics import skills as magics_skills
from agent_kernel.kernel.magics import turns as magics_turns

if TYPE_CHECKING:
    from agent_kernel.kernel.notebook import Notebook
    from agent_kernel.kernel.outputs import CellOutputs
    from agent_kernel.kernel.render.bundles import Bundle

Run = Callable[["Notebook", "CellOutputs", str], Awaitable[None]]
"""Runs a magic with its arguments. Raises any `AgentKernelError`."""

Arguments = Literal["", "paths", "files", "models", "magics", "variables", "skills"]
"""What Tab completes in an argument: local paths, files in the container, or names of things."""


@dataclass(frozen=True)
class Magic:
    """A magic: its usage, a one-line summary, and further help.

    `words` are the options that Tab offers; `takes_turn` is true if it runs commands that a live view should
    show. A cell with a magic that `keeps_point` goes back when it is run again; one that `moves` does not,
    because the magic itself leaves where the notebook is.
    """

    usage: str
    summary: str
    run: Run
    more: str = ""
    arguments: Arguments = ""
    words: tuple[str, ...] = ()
    takes_turn: bool = False
    keeps_point: bool = False
    moves: bool = False

    @property
    def help(self) -> str:
        """The whole help as plain text."""
        return f"{self.usage}\n{self.summary}" + (f"\n\n{self.more}" if self.more else "")


async def _help(notebook: Notebook, outputs: CellOutputs, arguments: str) -> None:
    from agent_kernel.kernel.render.definitions import definitions

    name = arguments.removesuffix("?").strip()
    if name:
        outputs.emit(page(find(name.removeprefix("%"))))
        return
    rows = [(magic.usage, magic.summary) for magic in MAGICS.values()]
    rows.append(("!COMMAND", "Run a command in the container's shell; the model sees it and its output."))
    rows.append(("!!COMMAND", "Run a command in the same shell without telling the model."))
    rows.append(("@FILE", "In a prompt: upload your file, and again after it has changed; show a picture."))
    rows.append(("@FILE --head N", "In a prompt: upload a text file, and add its first N rows to it."))
    rows.append(("%NAME?", "Show more about one of these lines; %help NAME shows it below the cell."))
    outputs.emit(definitions(("line", "what it does"), rows, _HELP).bundle())


_HELP = (
    "A cell is a prompt: the model reads it, runs commands in this notebook's container, and answers. "
    "Files, variables and the conversation are kept from cell to cell. Above the prompt a cell may have "
    "these lines:"
)


def page(magic: Magic) -> Bundle:
    """Return the help of one magic as a bundle."""
    from agent_kernel.kernel.render.bundles import ShownItem, pre
    from agent_kernel.kernel.render.text import fence

    return ShownItem(pre(magic.help), fence(magic.help, "text"), magic.help).bundle()


MAGICS: dict[str, Magic] = {
    "upload": Magic(
        "%upload PATH ...",
        "Copy your files into the container, to /mnt/data.",
        magics_files.upload,
        "Relative paths start at the notebook's folder. A folder is copied with its contents; patterns like "
        "data/*.csv and **/*.csv are expanded, and keep the folders below their first wildcard. Hidden files "
        "and links in a folder are skipped and counted. All files are checked first: if one is missing or "
        "too large, none is copied. In a prompt @PATH does the same.",
        arguments="paths",
        keeps_point=True,
    ),
    "download": Magic(
        "%download NAME [TO] [--force]",
        "Copy files from the container to the notebook's folder, or to the path TO.",
        magics_files.download,
        "NAME is a file, a folder or a pattern ('out/*.csv', quoted or not) in /mnt/data. TO is a file, or "
        "a folder if it ends in / or is one. Existing files are replaced only with --force. Each file is "
        "written completely or not at all.",
        arguments="files",
        words=("--force",),
    ),
    "files": Magic(
        "%files [FOLDER]",
        "Show the files in the container as a tree.",
        magics_files.files,
        arguments="files",
    ),
    "docs": Magic(
        "%docs [add PATH ... | remove NAME ... | remove --all]",
        "List the documents that the agent can search and cite, add some, or remove them.",
        magics_documents.documents,
        "PDF, Word, PowerPoint, Excel, HTML, mail and all plain text. PATH is a file, a folder or a pattern. "
        "A document of the same name is replaced. Documents are kept for 30 days after their last use.",
        arguments="paths",
        words=("add", "remove", "--all"),
    ),
    "mcp": Magic(
        "%mcp [add NAME COMMAND ... | add NAME URL | remove NAME]",
        "List the MCP servers whose tools the agent may use, add one, or remove it.",
        magics_mcp.servers,
        "A COMMAND runs in the container and touches nothing of this machine. A server at a URL must be one "
        "that the operator allows, and you are asked before each call.",
        words=("add", "remove"),
    ),
    "screen": Magic(
        "%screen [on [--allow RULE ...] | off | open]",
        "Show the screen of the container's desktop, or let the agent use it.",
        magics_screen.screen,
        "You are asked before what a RULE names: form, credentials, payment, download or domain.",
        words=("on", "off", "open"),
    ),
    "skills": Magic(
        "%skills [add PATH ... | use NAME [VERSION] | remove NAME | delete NAME]",
        "List the skills that the agent may use here, add one, use it in this notebook, or remove it.",
        magics_skills.skills,
        "PATH is a folder with a SKILL.md, or a zip archive of one; it is kept for other notebooks, and a "
        "skill of this name gets another version. remove leaves a skill out here, delete deletes what is "
        "kept. The agent reads skills and cannot change them.",
        arguments="skills",
        words=("add", "use", "remove", "delete"),
    ),
    "diff": Magic(
        "%diff [FOLDER] [--since COMMIT | --cell N | --branch B] [--patch [FILE]]",
        "Show what changed in the container's files, or write it as a patch for git apply.",
        magics_diff.diff,
        "A repository is compared with HEAD, or with COMMIT. Other files are compared with your uploads: "
        "what you did not upload is new. With --cell they are compared with those before cell N, or, given "
        "twice, those before two cells with each other, with --branch with those of another branch, and "
        "repositories are left out. Tables are compared "
        "by rows and columns. --patch writes changes.patch, or FILE, to the notebook's folder: the changes "
        "in the one repository that has some, or else those of your text files; --force replaces a file.",
        arguments="files",
        words=("--since", "--cell", "--branch", "--patch", "--force"),
    ),
    "mount": Magic(
        "%mount [NAME ... [--new]]",
        "List the folders that the operator offers, or mount them read-only in the container, below /mnt.",
        magics_mount.mount,
        "For data sets that are too big to upload. A container gets its folders when it is created, so put "
        "%mount into the first cell. With --new the container is replaced with an empty one.",
        words=("--new",),
        moves=True,
    ),
    "network": Magic(
        "%network [allow HOST ... | ask | off] [--new]",
        "Show the hosts that the container may connect to and what it used, allow more, or allow none.",
        magics_network.network,
        "HOST is a name, or *. and a domain, each also with :PORT, or a preset such as pip. The operator "
        "sets the limit. After ask you are asked before a connection to any other host within that limit, "
        "while the command waits. A change applies at once; off also closes connections. With --new the "
        "container is replaced with an empty one.",
        words=("allow", "ask", "off", "--new"),
        moves=True,
    ),
    "model": Magic(
        "%model [NAME | --default]",
        "List models, or switch this notebook's model.",
        magics_settings.model,
        "Names: openai/NAME, responses/NAME, chat/NAME, anthropic/NAME, ollama/NAME, scripted/FILE. The "
        "conversation continues. --default returns to the configured model. A line below says whether the "
        "model's server has this model, whether it accepts tools, and how large its context is.",
        arguments="models",
        words=("--default",),
    ),
    "instructions": Magic(
        "%instructions [TEXT | --clear]",
        "Show or change this notebook's instructions, sent with every turn after the kernel's own.",
        magics_settings.instructions,
        "%%instructions takes all lines below it as the text.",
        words=("--clear",),
    ),
    "%instructions": Magic(
        "%%instructions",
        "Use the rest of the cell as this notebook's instructions.",
        magics_settings.instructions,
    ),
    "budget": Magic(
        "%budget [tokens=N] [seconds=N] [tool_calls=N] [--clear]",
        "Show or change how much one turn may use before it is stopped.",
        magics_settings.budget,
        "A turn that reaches a limit ends as incomplete; its work is kept, and it can be continued.",
        words=("tokens=", "seconds=", "tool_calls=", "--clear"),
    ),
    "provenance": Magic(
        "%provenance [on | off]",
        "Show or change whether figures of answers are linked to the outputs that have them.",
        magics_settings.provenance,
        "A figure that was printed or displayed in the same turn leads to that output, and says what it was "
        "rounded from. Figures that no output of the turn has are marked.",
        words=("on", "off"),
    ),
    "record": Magic(
        "%record [on [PATH] | off | status]",
        "Record what the model says into a cassette, which plays it again without a model.",
        magics_record.record,
        "PATH is a folder, or a file that ends in .yaml; without one it is the folder cassettes beside the "
        "notebook. A cell that ends well is recorded, and replaces its entry. %model replay/PATH plays a "
        "cassette: its commands really run, and what they print is compared.",
        words=("on", "off", "status"),
    ),
    "approve": Magic(
        "%approve [auto | ask | never] [allow|ask|deny PATTERN | --host HOST] [--clear]",
        "Show or change which commands run without asking, which ask first, and which never run.",
        magics_approve.approve,
        "%approve ask asks before every command, %approve ask rm * before those that contain rm. A pattern "
        "that allows must match the whole command. The newest rule comes first. %approve deny --host NAME is "
        "about connections to a host. --clear removes this notebook's rules and the kinds that you have "
        "allowed. The operator's policy still applies.",
        words=("auto", "ask", "never", "allow", "deny", "--host", "--clear"),
    ),
    "set": Magic(
        "%set NAME=VALUE",
        "Set a parameter: a shell variable that the model knows about.",
        magics_settings.set_parameter,
        "VALUE is JSON (a number, true, a list ...) or else text. papermill -p NAME VALUE adds these lines.",
        keeps_point=True,
    ),
    "container": Magic(
        "%container [--reset-shell | --new [memory=1g] [cpus=N] ...]",
        "Show this notebook's container, reset its shell, or replace it with an empty one.",
        magics_settings.container,
        "--reset-shell stops a running command and clears variables, functions and the working directory; "
        "files and background processes are kept. "
        "memory may be 1g, 4g, 16g or 64g if the sandbox can limit it. cpus, pids, open_files and "
        "disk (bytes) are further limits. With volume=NAME the files in /mnt/data outlive the "
        "container, if the operator allows volumes. The conversation continues.",
        words=("--reset-shell", "--new", "memory=", "cpus=", "pids=", "open_files=", "disk=", "volume="),
        moves=True,
    ),
    "usage": Magic(
        "%usage",
        "Show the tokens and the cost of each cell, and how full the context window is.",
        magics_turns.usage,
        "Costs are estimates from a dated table of list prices. KernelSettings.prices (or "
        "AGENT_KERNEL_PRICES) sets your own. A model in neither has no cost.",
    ),
    "replay": Magic(
        "%replay [N | last]",
        "Show the outputs of a cell's turns again, from the runtime's store.",
        magics_turns.replay,
        "Use it when outputs were lost with a closed tab. N is the cell's number, In [N]. Files are shown as "
        "they are now.",
        words=("last",),
    ),
    "%bash": Magic(
        "%%bash [--private]",
        "Run the rest of the cell as a script in the container's shell; the model sees it and its output.",
        magics_turns.bash,
        "This is the shell that the model uses: variables, functions and the working directory are kept. "
        "With --private the model does not see it.",
        words=("--private",),
        takes_turn=True,
        keeps_point=True,
    ),
    "%python": Magic(
        "%%python",
        "Run the rest of the cell in the agent's Python session; the model sees it and its output.",
        magics_python.python,
        "Variables and imports are those of the agent, and are kept from cell to cell. Tab completes and "
        "Shift-Tab explains from live objects. An interrupt stops the cell and keeps the session.",
        keeps_point=True,
    ),
    "%r": Magic(
        "%%r",
        "Run the rest of the cell in an R session, if the container has R; the model sees it and its output.",
        magics_python.r,
        "The session keeps its variables from cell to cell, beside the Python session.",
        keeps_point=True,
    ),
    "python": Magic(
        "%python restart",
        "Restart the Python session: variables and imports are gone, files are kept.",
        magics_python.control,
        "The shell and the conversation continue, and the model is told.",
        words=("restart",),
    ),
    "vars": Magic(
        "%vars",
        "List the variables of the Python session, with type, shape, memory and value.",
        magics_python.variables,
    ),
    "get": Magic(
        "%get NAME [--head N] [--csv FILE [--force]]",
        "Show a variable of the Python session as a table, or save it as CSV.",
        magics_python.get,
        "NAME is a DataFrame, a Series, an array, or a list or dictionary that makes a table. --csv writes "
        "all rows to FILE in the notebook's folder. For files of the container use %download.",
        arguments="variables",
        words=("--head", "--csv", "--force"),
    ),
    "put": Magic(
        "%put FILE [NAME]",
        "Upload a file and read it into a variable of the Python session.",
        magics_python.put,
        "Tables (CSV, Excel, Parquet ...) become DataFrames, JSON and text what they are, other files bytes. "
        "The model sees the code that reads the file.",
        arguments="paths",
        takes_turn=True,
        keeps_point=True,
    ),
    "rerun": Magic(
        "%rerun [rewind | continue | ask | --default]",
        "Show or change what a cell does that is run again.",
        magics_branches.rerun,
        "rewind: it goes back to before its last run: files, shell variables, directory and conversation. "
        "What came after is kept as a branch. continue: it goes on from where the notebook is, and no points "
        "to go back to are kept. ask: you are asked. Above other lines it counts for its own cell already.",
        words=("rewind", "continue", "ask", "--default"),
    ),
    "history": Magic(
        "%history",
        "Show the cells that have run, when, and what they wrote and used, with their branches.",
        magics_branches.history,
        "Cells that only look are not in it. The branch in use has filled marks.",
    ),
    "rewind": Magic(
        "%rewind [N] [--conversation]",
        "Go back to before cell N, or before the last cell; what came after is kept as a branch.",
        magics_branches.rewind,
        "N is the number in In [N]. Files, shell variables, directory and conversation go back; processes "
        "end, and variables of Python "
        "and R are lost. With --conversation only the conversation goes back.",
        words=("--conversation",),
        moves=True,
    ),
    "branch": Magic(
        "%branch [switch NAME | name [NAME] NEW | delete NAME]",
        "List the branches of this notebook, open one as it was left, name one, or delete one.",
        magics_branches.branch,
        "A branch is what going back has left behind. switch keeps the branch in use as well. "
        "With --conversation switch leaves the container as it is.",
        words=("switch", "name", "delete", "--conversation"),
        moves=True,
    ),
    "session": Magic(
        "%session [keep [NAME] | list | resume NAME | forget [NAME] | new]",
        "Keep this notebook beyond its kernel, list what is kept, go on with it, forget it, or begin anew.",
        magics_session.session,
        "keep: after a restart of the kernel or the machine the first cell brings back files, packages, "
        "shell variables and the conversation, and says so. NAME may also be an id. forget: files stay "
        "until their container expires. new: the next cell has an empty container. KernelSettings.keep, or "
        "keep in the notebook's metadata, keeps every notebook.",
        words=("keep", "list", "resume", "forget", "new"),
        moves=True,
    ),
    "help": Magic(
        "%help [NAME]",
        "List what a cell can contain, or explain one of these lines.",
        _help,
        arguments="magics",
    ),
}


def find(name: str) -> Magic:
    """Return the magic with this name. Raises `InvalidRequest` with the nearest name and all names."""
    if name in MAGICS:
        return MAGICS[name]
    known = ", ".join(f"%{each}" for each in MAGICS)
    near = difflib.get_close_matches(name, MAGICS, n=1, cutoff=0.5)
    guess = f"Did you mean %{near[0]}? " if near else ""
    raise InvalidRequest(
        f"There is no magic %{name}.",
        hint=f"{guess}Magics: {known}; !COMMAND runs a command in the container.",
    )
