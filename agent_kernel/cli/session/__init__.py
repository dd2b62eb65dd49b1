"""`agent-kernel session`: conversations of this machine's store, as files. One module per action."""

from __future__ import annotations

import argparse
from importlib import import_module
from types import ModuleType

from agent_kernel.cli import flags

ACTIONS = {
    "list": "list the kept sessions",
    "show": "show a kept session, or what an archive holds",
    "export": "write a session into an archive, or its conversation for other providers or readers",
    "import": "make a living session of an archive",
    "replay": "repeat the user's turns with other models, side by side",
    "delete": "remove everything that a session left on this machine",
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
    name = {"import": "importing"}.get(action, action)
    return import_module(f"agent_kernel.cli.session.{name}")
