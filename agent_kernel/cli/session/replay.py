"""`agent-kernel session replay FILE_OR_ID --model X --model Y`: the same turns with other models."""

from __future__ import annotations

import argparse

from agent_kernel.cli import flags

_LIMITS = ("max_tokens", "max_tool_calls", "max_seconds")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the conversation, the models and the file."""
    parser.add_argument(
        "id",
        metavar="FILE_OR_ID",
        help="a kept session, the id of a last response, an archive, or a notebook with the Agent kernel",
    )
    parser.add_argument(
        "--model", dest="models", action="append", required=True, metavar="MODEL", help="a model; repeat it"
    )
    parser.add_argument("--output", metavar="FILE", help="write the answers side by side: .html or .md")
    parser.add_argument("--force", action="store_true", help="replace a file that is there already")
    flags.add_settings(parser, _LIMITS)


def run(arguments: argparse.Namespace) -> int:
    """Replay, print a table and write the file. Return the exit code."""
    from agent_kernel.cli.session.replaying import replay

    return replay(arguments)
