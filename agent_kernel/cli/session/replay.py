"""`agent-kernel session replay ID --model X --model Y`: the same turns with other models, side by side."""

from __future__ import annotations

import argparse
import asyncio
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from agent_kernel.cli import flags
from agent_kernel.cli.opened import table
from agent_kernel.errors import ConfigurationError, NotFound

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent_kernel.conversion.replay.page import ReplayColumn
    from agent_kernel.conversion.replay.run import ModelReplay

MOST_MODELS = 8
LEASE = 60.0
"""Seconds that the containers outlive this process if it is killed."""

_LIMITS = ("max_tokens", "max_tool_calls", "max_seconds")
_INTERRUPTED = 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the conversation, the models and the file."""
    parser.add_argument("id", metavar="ID", help="the conversation: the id of its last response")
    parser.add_argument(
        "--model", dest="models", action="append", required=True, metavar="MODEL", help="a model; repeat it"
    )
    parser.add_argument("--output", metavar="FILE", help="write the answers side by side: .html or .md")
    parser.add_argument("--force", action="store_true", help="replace a file that is there already")
    flags.add_settings(parser, _LIMITS)


def run(arguments: argparse.Namespace) -> int:
    """Replay, print the table, and write the file. Interrupted, it shows what was done until then."""
    target = Path(arguments.output) if arguments.output else None
    _check(arguments.models, target, force=arguments.force)
    from agent_kernel.conversion.replay.run import ModelReplay

    replays = [ModelReplay(name) for name in dict.fromkeys(arguments.models)]
    originals: list[ModelReplay] = []
    interrupted = False
    try:
        asyncio.run(_replayed(arguments, originals, replays))
    except KeyboardInterrupt:
        if not originals:
            raise
        interrupted = True
        print("Interrupted. This is what was done until then.", file=sys.stderr)
    columns, prompts = _columns(originals, replays)
    from agent_kernel.conversion.replay.page import FIGURES

    print(table([FIGURES, *(each.figures() for each in columns)]))
    if target is not None:
        _write(target, arguments.id, prompts, columns)
        print(f"\nSide by side: {target}")
    if interrupted:
        return _INTERRUPTED
    return 1 if all(each.error for each in replays) else 0


def _check(models: Sequence[str], target: Path | None, *, force: bool) -> None:
    from agent_kernel.cli.session.export import check_target

    if len(models) > MOST_MODELS:
        raise ConfigurationError(f"At most {MOST_MODELS} models can be compared.", hint="Name fewer.")
    if target is not None:
        if target.suffix not in (".html", ".md"):
            raise ConfigurationError(f"{target} is neither .html nor .md.", hint="Choose one of these names.")
        check_target(target, force=force)


async def _replayed(
    arguments: argparse.Namespace, originals: list[ModelReplay], replays: Sequence[ModelReplay]
) -> None:
    from agent_kernel.cli import compose
    from agent_kernel.cli.opened import containers_with
    from agent_kernel.cli.session.chain import filled, read_chain
    from agent_kernel.conversion.containers import OriginalContainer, files_of, params_like
    from agent_kernel.conversion.replay.prompts import prompts_of
    from agent_kernel.conversion.replay.run import ModelReplay, ReplaySetUp, replay_all

    settings = flags.load(arguments)
    store = compose.store(settings)
    try:
        rows = await filled(store, settings, await read_chain(store.rows, arguments.id))
        ids = [row.container_id for row in rows if row.container_id is not None]
        container = await store.rows.container(ids[-1]) if ids else None
    finally:
        await store.aclose()
    if container is None:
        raise NotFound(
            "The container of this conversation is gone, and with it the files that its prompts are about.",
            hint="Only conversations whose container is still there can be replayed.",
        )
    async with AsyncExitStack() as stack:
        found = await stack.enter_async_context(containers_with(settings, container.id))
        original = OriginalContainer(found, container.id)
        first = ModelReplay("", rows, [_seconds(row.response, row.created_at) for row in rows])
        first.files = await files_of(found, container.id)
        originals.append(first)
        same = flags.load(arguments, sandbox=container.backend)
        runtime = compose.local_runtime(same, lease=LEASE)
        stack.push_async_callback(runtime.aclose)
        set_up = ReplaySetUp(prompts_of(rows), original, await params_like(original))
        await replay_all(runtime, set_up, replays, lambda line: print(line, file=sys.stderr))


def _seconds(response: object, begun: float) -> float:
    ended = response.get("completed_at") if isinstance(response, dict) else None
    return max(0.0, float(ended) - begun) if ended else 0.0


def _columns(
    originals: Sequence[ModelReplay], replays: Sequence[ModelReplay]
) -> tuple[list[ReplayColumn], list[str]]:
    from agent_kernel.conversion.exchanges import exchanges, models_of
    from agent_kernel.conversion.replay.page import column_of
    from agent_kernel.conversion.replay.prompts import prompts_of

    rows = originals[0].rows
    name = ", ".join(models_of(exchanges(rows))) or "the user alone"
    columns = [column_of(originals[0], f"before: {name}"), *map(column_of, replays)]
    return columns, [each.text for each in prompts_of(rows)]


def _write(target: Path, title: str, prompts: Sequence[str], columns: Sequence[ReplayColumn]) -> None:
    from agent_kernel.conversion.replay.page import to_markdown_page, to_page

    made = to_page if target.suffix == ".html" else to_markdown_page
    target.write_bytes(made(f"Replay of {title}", prompts, columns).encode("utf-8", "replace"))
