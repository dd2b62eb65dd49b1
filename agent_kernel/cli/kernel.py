"""`agent-kernel kernel -f FILE`: the command of the kernelspec. Loads nothing heavy before it is idle."""

from __future__ import annotations

import argparse
from dataclasses import replace
from functools import partial
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the connection file; all further arguments go to ipykernel."""
    parser.add_argument(
        "-f", "--connection-file", required=True, metavar="FILE", help="Jupyter's connection file"
    )
    parser.add_argument("more", nargs=argparse.REMAINDER, help="further arguments for ipykernel")


def run(arguments: argparse.Namespace) -> int:
    """Run the kernel until the front end shuts it down."""
    from agent_kernel.kernel.origin.ports import listen

    ports = listen(arguments.connection_file)
    from agent_kernel.cli import flags
    from agent_kernel.cli.compose import kernel_runtime
    from agent_kernel.cli.setup import Setup
    from agent_kernel.config.jupyter import jupyter_start
    from agent_kernel.kernel import launch

    settings = flags.load(argparse.Namespace())
    configured = settings.model.model
    if not settings.kernel.model and not configured.startswith("scripted/"):  # the kernel announces those
        settings.kernel.model = configured or None
    settings.kernel.approval = policy = settings.approval.policy()
    settings.kernel.operator = None if settings.runtime.runtime_url else policy
    settings.kernel.secrets = settings.secrets()
    if settings.kernel.web is None and not settings.runtime.runtime_url:
        settings.kernel.web = bool(settings.web.web_search)
    start = jupyter_start(arguments.connection_file)
    if settings.kernel.notebook:
        file = Path(settings.kernel.notebook).expanduser().absolute()
        start = replace(start, session_path=file, server_file=None)
    launch(
        connection_args=["-f", arguments.connection_file, *arguments.more],
        open_runtime=partial(kernel_runtime, settings),
        settings=settings.kernel,
        history=settings.runtime.data_path() / "history.sqlite",
        start=start,
        setup=Setup(settings),
        ports=ports,
    )
    return 0
