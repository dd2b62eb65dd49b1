"""`agent-kernel session`: conversations of this machine's store, as files. One module per action."""

from __future__ import annotations

import argparse
from importlib import import_module
from types import ModuleType

from agent_kernel.cli import flags

ACTIONS = {
    "export": "write a conversation for another provider, or for readers",
    "replay": "repeat the user's turns with other models, side by side",
}
"""The actions with their summaries. Each has a module with `add_arguments` and `run`, as commands have."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions and their arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, summary in ACTIONS.items():
        sub = actions.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        _module(name).add_arguments(sub)
        flags.add_settings(sub, (*flags.WHERE, "audit"))


def run(arguments: argparse.Namespace) -> int:
    """Run the action and return the exit code."""
    code: int = _module(arguments.action).run(arguments)
    return code


def _module(action: str) -> ModuleType:
    return import_module(f"agent_kernel.cli.session.{action}")
