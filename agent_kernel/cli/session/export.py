"""`agent-kernel session export ID FILE`: write a session as an archive, or its conversation in a form."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent_kernel.cli import flags
from agent_kernel.cli.session import archive
from agent_kernel.cli.session.target import check_target, write_errors
from agent_kernel.config import Settings
from agent_kernel.errors import ConfigurationError

if TYPE_CHECKING:
    from agent_kernel.store.records import ResponseRow

FORMS = ("chat", "anthropic", "markdown", "code")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the conversation, the form and the file."""
    parser.add_argument(
        "id", metavar="ID", help="the session: its id, its name, or the id of its last response"
    )
    parser.add_argument("file", metavar="FILE", help="the file to write; - prints it")
    parser.add_argument("--as", dest="form", choices=FORMS, help="write the conversation only, in this form")
    archive.add_flags(parser)
    parser.add_argument(
        "--no-verify",
        action="store_true",
        help="with --as code: do not run what was written in a new sandbox",
    )
    parser.add_argument("--force", action="store_true", help="replace a file that is there already")


def run(arguments: argparse.Namespace) -> int:
    """Write the file and return the exit code."""
    if arguments.form == "code":
        from agent_kernel.cli.session import code

        return code.write(arguments)
    settings = flags.load(arguments)
    target = None if arguments.file == "-" else Path(arguments.file)
    if target is not None:
        check_target(target, force=arguments.force)
    if arguments.form is None:
        if target is None:
            raise ConfigurationError("An archive cannot be printed.", hint="Name a file.")
        return archive.export(arguments, target)
    rows = asyncio.run(_rows(settings, arguments.id))
    with write_errors(arguments.file):
        if arguments.form == "markdown":
            _write_page(rows, target)
        else:
            _write(target, _json(_converter(arguments.form)(rows)))
    if target is not None:
        print(f"{target}: {len(rows):,} turn{'' if len(rows) == 1 else 's'}")
    return 0


async def _rows(settings: Settings, name: str) -> list[ResponseRow]:
    from agent_kernel.cli import compose
    from agent_kernel.cli.session.chain import filled, read_chain

    store = compose.store(settings)
    try:
        return await filled(store, settings, await read_chain(store.rows, name))
    finally:
        await store.aclose()


def _converter(form: str) -> Callable[[Sequence[ResponseRow]], dict[str, Any]]:
    from agent_kernel.conversion.anthropic import to_anthropic
    from agent_kernel.conversion.chat import to_chat

    return {"chat": to_chat, "anthropic": to_anthropic}[form]


def _json(body: dict[str, Any]) -> str:
    return json.dumps(body, indent=1, ensure_ascii=False) + "\n"


def _write_page(rows: Sequence[ResponseRow], target: Path | None) -> None:
    """Write the page, and its pictures into a folder beside it. A printed page names pictures only."""
    from agent_kernel.conversion.markdown import to_markdown

    folder = f"{target.stem}_files" if target is not None else ""
    page = to_markdown(rows, target.stem if target is not None else "Conversation", folder)
    if target is not None and page.pictures:
        beside = target.parent / folder
        beside.mkdir(exist_ok=True)
        for name, data in page.pictures.items():
            (beside / name).write_bytes(data)
    _write(target, page.text)


def _write(target: Path | None, text: str) -> None:
    data = text.encode("utf-8", "replace")
    if target is None:
        sys.stdout.write(data.decode())
    else:
        target.write_bytes(data)
