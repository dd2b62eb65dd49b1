"""The command line, `agent-kernel COMMAND`: the only package that imports and connects all the others.

Each command is a module with `add_arguments(parser)` and `run(arguments) -> exit code`. It is imported only
when called: `kernel` must be ready before anything heavy could be loaded.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from agent_kernel import __version__
from agent_kernel.errors import AgentKernelError

COMMANDS = {
    "demo": "run the first example notebook in an embedded sandbox, turn by turn",
    "install": "install the kernelspec for Jupyter, and prepare the embedded sandbox",
    "record": "run notebooks, and record what the model says into cassettes that replay without a model",
    "serve": "serve the Responses API, with shell and containers, over HTTP",
    "mcp": "serve sandboxes to MCP clients, over standard input and output or HTTP",
    "doctor": "check what is installed, and show the command for anything missing",
    "containers": "list, remove, attach to, checkpoint and restore the containers of this machine",
    "session": "list kept sessions, move one to another machine, write a conversation for others",
    "keys": "create, list and revoke API keys for this machine's server",
    "image": "build the Docker image, or prepare the embedded sandbox's toolbox",
    "kernel": "run the Jupyter kernel (started by Jupyter)",
}

FAILED = 2
"""Exit code of every error that is reported with a message."""


class _Parser(argparse.ArgumentParser):
    """An argument parser that prints errors as this package does: one line, then a hint."""

    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: {message}\n  See: {self.prog} --help", file=sys.stderr)
        raise SystemExit(FAILED)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code of the process."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    command = next((word for word in words if not word.startswith("-")), None)
    try:
        parsed = _parser(command).parse_args(words)
        code: int = import_module(f"agent_kernel.cli.{parsed.command}").run(parsed)
        return code
    except AgentKernelError as error:
        print(f"agent-kernel: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"  {error.hint}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output (`| head`) has closed it
        sys.stderr.close()
        return 0


def _parser(command: str | None) -> argparse.ArgumentParser:
    """Return the parser. Only the called command's arguments are added, so no other module is loaded."""
    parser = _Parser(prog="agent-kernel", description="Notebook cells as agent turns, each in a sandbox.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, summary in COMMANDS.items():
        sub = commands.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        if name == command:
            import_module(f"agent_kernel.cli.{name}").add_arguments(sub)
    return parser
