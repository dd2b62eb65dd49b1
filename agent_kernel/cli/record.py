"""`agent-kernel record NOTEBOOK ...`: run notebooks without a front end, and record them into cassettes."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent_kernel import config
from agent_kernel.cassettes.cassette import PREFIX, Cassette
from agent_kernel.cassettes.reading import CassetteInvalid, read
from agent_kernel.cassettes.writing import write
from agent_kernel.cli import flags
from agent_kernel.cli.headless import kernel_manager
from agent_kernel.errors import AgentKernelError, ConfigurationError

if TYPE_CHECKING:
    from nbformat import NotebookNode

FOLDER = "cassettes"
CELL_SECONDS = 3600

_CHILD = ("model", "sandbox", "image", "data_dir")
"""Settings with a flag, which the kernel gets in its environment."""


class RecordingFailed(AgentKernelError):
    """A cell of the notebook failed, or the kernel died. The cassette that was there is kept."""


@dataclass(frozen=True)
class Recording:
    """A notebook that is recorded: its file, its cassette, the one that was there, and the model."""

    notebook: Path
    cassette: Path
    earlier: Cassette | None
    model: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the notebooks, what to do with cassettes that exist, and settings of the kernel."""
    parser.add_argument("notebooks", nargs="+", metavar="NOTEBOOK", help="notebooks with the Agent kernel")
    parser.add_argument(
        "--update", action="store_true", help="record notebooks again that have a cassette, with its model"
    )
    parser.add_argument(
        "--output", metavar="FOLDER", help=f"folder for cassettes (default: {FOLDER} beside the notebook)"
    )
    parser.add_argument("--save", action="store_true", help="save the notebooks with the outputs of this run")
    flags.add_settings(parser, _CHILD)


def run(arguments: argparse.Namespace) -> int:
    """Record each notebook. The first that fails ends the command."""
    settings = flags.load(arguments)
    given = {name: getattr(arguments, name) for name in _CHILD if getattr(arguments, name)}
    recordings = [_planned(Path(each), arguments, settings.model.chosen()) for each in arguments.notebooks]
    try:
        for each in recordings:
            asyncio.run(_record(each, given, save=arguments.save))
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] not in ("nbclient", "nbformat"):
            raise
        raise ConfigurationError(
            f"The packages that run notebooks are not installed ({error.name} is missing).",
            hint='Install them: pip install "jupyter-agent-kernel[demo]"',
        ) from error
    return 0


def _planned(notebook: Path, arguments: argparse.Namespace, configured: str | None) -> Recording:
    """Check a notebook before anything runs. Raises `ConfigurationError`."""
    if not notebook.is_file():
        raise ConfigurationError(f"There is no notebook {notebook}.", hint="Name .ipynb files.")
    folder = Path(arguments.output) if arguments.output else notebook.parent / FOLDER
    cassette = (folder / f"{notebook.stem}.yaml").absolute()
    earlier = None
    if cassette.exists():
        if not arguments.update:
            raise ConfigurationError(
                f"There is a cassette already: {cassette}.",
                hint=f"To record it again: agent-kernel record --update {notebook}",
            )
        try:
            earlier = read(cassette)
        except CassetteInvalid:  # it is replaced
            earlier = Cassette()
    model = arguments.model or (earlier.model if earlier else "") or configured
    if not model or model.startswith(PREFIX):
        raise ConfigurationError(
            f"No model is given that {notebook.name} could be recorded from.", hint="Use --model openai/NAME"
        )
    return Recording(notebook.absolute(), cassette, earlier, model)


async def _record(asked: Recording, given: dict[str, Any], *, save: bool) -> None:
    import nbformat

    notebook = nbformat.read(asked.notebook, as_version=4)  # type: ignore[no-untyped-call]
    with tempfile.TemporaryDirectory(prefix="agent-kernel-") as folder:
        new = Path(folder, asked.cassette.name)
        await _execute(notebook, asked, {**given, "model": asked.model}, new)
        found = _recorded(new, asked)
        changed = found != asked.earlier
        if changed:
            write(asked.cassette, found)
    if save:
        nbformat.write(notebook, asked.notebook)  # type: ignore[no-untyped-call]
    what = f"{len(found.cells)} cell{'' if len(found.cells) == 1 else 's'}, {found.model}"
    print(f"{asked.notebook.name}: {'recorded' if changed else 'unchanged'}, {what}\n  {asked.cassette}")


def _recorded(new: Path, asked: Recording) -> Cassette:
    if not new.exists():
        raise RecordingFailed(
            f"No cell of {asked.notebook.name} was recorded.",
            hint="A cassette has the answers of a model: the notebook needs a prompt.",
        )
    return read(new)


async def _execute(notebook: NotebookNode, asked: Recording, given: dict[str, Any], cassette: Path) -> None:
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, DeadKernelError

    variables = {f"AGENT_KERNEL_{name.upper()}": str(value) for name, value in given.items()}
    environment = config.environment_over(
        **variables, AGENT_KERNEL_RECORD=str(cassette), AGENT_KERNEL_NOTEBOOK=str(asked.notebook)
    )
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.update(outputs=[], execution_count=None)
    try:
        with tempfile.TemporaryDirectory(prefix="agent-kernel-") as sockets:
            client = NotebookClient(
                notebook,
                kernel_name="agent",
                kernel_manager_class=kernel_manager(sockets),
                timeout=CELL_SECONDS,
                record_timing=False,
                store_widget_state=False,
                resources={"metadata": {"path": str(asked.notebook.parent)}},
            )
            await client.async_execute(env=environment)
    except CellExecutionError as error:
        raise RecordingFailed(
            f"A cell of {asked.notebook.name} failed: {error.evalue}",
            hint="The cassette was not changed. See: agent-kernel doctor",
        ) from error
    except DeadKernelError as error:
        raise RecordingFailed(
            f"The kernel of {asked.notebook.name} died.", hint="See: agent-kernel doctor"
        ) from error
