"""`agent-kernel demo`: run the first example notebook through the real kernel in an embedded sandbox.

It always plays the shipped script, uses no key and asks no questions. Everything but the model is real:
Jupyter's protocol, the kernel, the turn loop, the sandbox, the commands and the data.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent_kernel import config
from agent_kernel.cli import flags
from agent_kernel.cli.headless import kernel_manager
from agent_kernel.cli.image import prepare_embedded
from agent_kernel.cli.transcript import Transcript
from agent_kernel.config import Settings
from agent_kernel.errors import AgentKernelError, ConfigurationError

if TYPE_CHECKING:
    from nbformat import NotebookNode

NOTEBOOK = "01_first_questions.ipynb"
DATA = "data/penguins.csv"
MODEL = "scripted/demo"
CELL_SECONDS = 300


class DemoFailed(AgentKernelError):
    """A cell of the example failed, or the kernel died."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the output folder and the data folder."""
    parser.add_argument(
        "--output",
        default="agent-kernel-demo",
        metavar="FOLDER",
        help="folder for the executed notebook (default: %(default)s)",
    )
    flags.add_settings(parser, ("data_dir",))


def run(arguments: argparse.Namespace) -> int:
    """Prepare the sandbox if needed, run the notebook, and print where it was written."""
    began = time.monotonic()
    settings = flags.load(arguments, sandbox="bubblewrap", docker_runtime="", model=MODEL)
    check_sandbox(settings)
    notebook = copy_example(Path(arguments.output))
    try:
        asyncio.run(execute(notebook, settings))
        page = export(notebook)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] not in ("nbclient", "nbconvert", "nbformat"):
            raise
        raise ConfigurationError(
            f"The demo's packages are not installed ({error.name} is missing).",
            hint='Install them: pip install "jupyter-agent-kernel[demo]"',
        ) from error
    print(f"Ran in {time.monotonic() - began:.1f} s.\n  notebook  {notebook}\n  page      {page}")
    return 0


def check_sandbox(settings: Settings) -> None:
    """Prepare the toolbox if needed. Raises `EngineUnavailable` if bubblewrap cannot work here."""
    from agent_kernel.cli.compose import backend
    from agent_kernel.errors import EngineUnavailable

    prepare_embedded(settings)
    probe = asyncio.run(backend(settings, "bubblewrap").probe())
    if not probe.ok:
        raise EngineUnavailable(probe.detail, hint=probe.hint)


def examples() -> Path:
    """Return the folder of the example notebooks, in the installed package or the checkout."""
    here = Path(__file__).resolve()
    packaged, checkout = here.parent / "notebooks", here.parents[2] / "notebooks"
    return packaged if (packaged / NOTEBOOK).exists() else checkout


def copy_example(folder: Path) -> Path:
    """Copy notebook and data into `folder`. Raises `ConfigurationError` if it cannot be written."""
    try:
        for name in (NOTEBOOK, DATA):
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(examples() / name, target)
    except OSError as error:
        raise ConfigurationError(
            f"The example cannot be copied: {error.strerror}: {error.filename}.",
            hint="Choose a folder that you can write to: --output FOLDER",
        ) from error
    return (folder / NOTEBOOK).absolute()


async def execute(path: Path, settings: Settings) -> None:
    """Run the notebook at `path` in place and print each turn as it happens. Raises `DemoFailed`."""
    import nbformat
    from nbclient.exceptions import CellExecutionError, DeadKernelError

    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.update(outputs=[], execution_count=None)
    environment = config.environment_with(
        JUPYTER_NO_CONFIG="1",
        AGENT_KERNEL_MODEL=MODEL,
        AGENT_KERNEL_SANDBOX="bubblewrap",
        AGENT_KERNEL_DATA_DIR=str(settings.runtime.data_path()),
    )
    try:
        with tempfile.TemporaryDirectory(prefix="agent-kernel-") as sockets:
            client = _client(notebook, sockets, path, Transcript(sys.stdout))
            await client.async_execute(env=environment)
    except CellExecutionError as error:
        raise DemoFailed(f"A cell failed: {error.evalue}", hint="See: agent-kernel doctor") from error
    except DeadKernelError as error:
        raise DemoFailed("The kernel died.", hint="See: agent-kernel doctor") from error
    finally:
        nbformat.write(notebook, path)  # type: ignore[no-untyped-call]


def _client(notebook: NotebookNode, sockets: str, path: Path, transcript: Transcript) -> Any:
    """Return a notebook client that passes every message to the transcript as it arrives."""
    from nbclient import NotebookClient

    class Client(NotebookClient):
        def process_message(self, msg: Any, cell: NotebookNode, cell_index: int) -> NotebookNode | None:
            transcript.output(msg["msg_type"], msg["content"])
            return super().process_message(msg, cell, cell_index)

    def on_cell_start(cell: NotebookNode, cell_index: int) -> None:
        transcript.cell(cell.cell_type, cell.source)

    return Client(
        notebook,
        kernel_name="agent",
        kernel_manager_class=kernel_manager(sockets),
        timeout=CELL_SECONDS,
        record_timing=False,
        on_cell_start=on_cell_start,
        resources={"metadata": {"path": str(path.parent)}},
    )


def export(path: Path) -> Path:
    """Write the notebook as one HTML page, images included, and return its path."""
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(  # type: ignore[no-untyped-call]
        exclude_input_prompt=True, exclude_output_prompt=True
    )
    body, _ = exporter.from_filename(str(path))
    page = path.with_suffix(".html")
    page.write_text(body, encoding="utf-8")
    return page
