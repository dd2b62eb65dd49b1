"""`agent-kernel install`: install the kernelspec for Jupyter and prepare the embedded sandbox's toolbox."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from agent_kernel.cli import flags

NAME = "agent"


def spec_folder() -> Path:
    """Return the folder of the kernelspec in the package."""
    return Path(__file__).parents[1] / "kernel" / "spec"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the place to install to, and what to prepare."""
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--user", action="store_true", help="install for the current user (the default)")
    where.add_argument("--sys-prefix", action="store_true", help="install into this Python environment")
    where.add_argument("--prefix", metavar="FOLDER", help="install below FOLDER/share/jupyter")
    parser.add_argument(
        "--no-toolbox", action="store_true", help="do not prepare the embedded sandbox's toolbox"
    )
    flags.add_settings(parser, ("sandbox", "data_dir"))


def run(arguments: argparse.Namespace) -> int:
    """Install the kernelspec, then the toolbox if the settings allow the embedded sandbox."""
    settings = flags.load(arguments)
    place = install_spec(sys.prefix if arguments.sys_prefix else arguments.prefix)
    print(f"The kernel “Agent” is installed in {place}")
    if not arguments.no_toolbox and settings.sandbox.sandbox in ("auto", "bubblewrap"):
        from agent_kernel.cli.image import prepare_embedded

        prepare_embedded(settings)
    return 0


def install_spec(prefix: str | None) -> str:
    """Install the kernelspec below `prefix` (None: for the user) and return its folder.

    The kernel will run under this Python interpreter. Raises `ConfigurationError` if the folder cannot be
    written.
    """
    import json
    import tempfile

    from jupyter_client.kernelspec import KernelSpecManager

    from agent_kernel.errors import ConfigurationError

    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, NAME)
        copy.mkdir()
        for source in spec_folder().iterdir():
            if source.is_file():
                (copy / source.name).write_bytes(source.read_bytes())
        spec = json.loads((copy / "kernel.json").read_text())
        spec["argv"][0] = sys.executable  # "python" alone would be the Python that Jupyter runs under
        (copy / "kernel.json").write_text(json.dumps(spec, indent=1) + "\n")
        try:
            place: str = KernelSpecManager().install_kernel_spec(
                str(copy), kernel_name=NAME, user=prefix is None, prefix=prefix
            )
        except OSError as error:
            raise ConfigurationError(
                f"The kernel cannot be installed: {error.strerror}: {error.filename}.",
                hint="Choose a folder that you can write to: --user, --sys-prefix or --prefix FOLDER.",
            ) from error
        return place
