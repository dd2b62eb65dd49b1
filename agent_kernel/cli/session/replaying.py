"""Replay a conversation with other models for the command line: its sources, its table and its file."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from agent_kernel.cli import compose, flags
from agent_kernel.cli.opened import containers_with, table
from agent_kernel.cli.session.archive import run_interruptibly
from agent_kernel.cli.session.chain import filled, read_chain
from agent_kernel.cli.session.importing import imported_for_now
from agent_kernel.cli.session.target import check_target, write_errors
from agent_kernel.config import Settings
from agent_kernel.conversion.containers import OriginalContainer, made_files, params_like, uploads_of
from agent_kernel.conversion.exchanges import exchanges, models_of
from agent_kernel.conversion.replay.page import (
    FIGURES,
    ReplayColumn,
    column_of,
    to_markdown_page,
    to_page,
)
from agent_kernel.conversion.replay.prompts import ReplayPrompt, prompts_of
from agent_kernel.conversion.replay.run import ModelReplay, ReplaySetUp, replay_all
from agent_kernel.errors import ConfigurationError, NotFound
from agent_kernel.kernel.render.text import clean

MOST_MODELS = 8
LEASE = 60.0
"""Seconds that the containers outlive this process if it is killed."""

_INTERRUPTED = 130


def replay(arguments: argparse.Namespace) -> int:
    """Replay, print the table, and write the file. Interrupted, it shows what was done until then."""
    target = Path(arguments.output) if arguments.output else None
    _check(arguments.models, target, force=arguments.force)
    replays = [ModelReplay(name) for name in dict.fromkeys(arguments.models)]
    begun: list[_Begun] = []
    interrupted = False
    try:
        run_interruptibly(_replayed(arguments, begun, replays))
    except KeyboardInterrupt:
        if not begun:
            raise
        interrupted = True
        print("Interrupted. This is what was done until then.", file=sys.stderr)
    columns = [*begun[0].before, *map(column_of, replays)]
    print(table([FIGURES, *(each.figures() for each in columns)]))
    if target is not None:
        _write(target, Path(arguments.id).name, [each.text for each in begun[0].prompts], columns)
        print(f"\nSide by side: {target}")
    if interrupted:
        return _INTERRUPTED
    return 1 if all(each.error for each in replays) else 0


@dataclass(frozen=True)
class _Begun:
    """What a replay is about: the turns, and the conversation as it was, if it is known."""

    prompts: Sequence[ReplayPrompt]
    before: Sequence[ReplayColumn] = ()


def _check(models: Sequence[str], target: Path | None, *, force: bool) -> None:
    if len(models) > MOST_MODELS:
        raise ConfigurationError(f"At most {MOST_MODELS} models can be compared.", hint="Name fewer.")
    if target is not None:
        if target.suffix not in (".html", ".md"):
            raise ConfigurationError(f"{target} is neither .html nor .md.", hint="Choose one of these names.")
        check_target(target, force=force)


async def _replayed(
    arguments: argparse.Namespace, begun: list[_Begun], replays: Sequence[ModelReplay]
) -> None:
    settings = flags.load(arguments)
    async with AsyncExitStack() as stack:
        if Path(arguments.id).suffix == ".ipynb":
            set_up = await _of_notebook(Path(arguments.id), settings, begun)
        else:
            name = await _named(arguments.id, settings, stack)
            set_up, backend = await _of_chain(name, settings, begun, stack)
            settings = flags.load(arguments, sandbox=backend)
        runtime = compose.local_runtime(settings, lease=LEASE)
        stack.push_async_callback(runtime.aclose)
        shown = ReplayProgress()
        try:
            await replay_all(runtime, set_up, replays, shown)
        finally:
            shown.end()


class ReplayProgress:
    """Says on standard error how far the models are: one line of a terminal, elsewhere a tenth at a time."""

    def __init__(self) -> None:
        self._at: dict[str, str] = {}
        self._terminal = sys.stderr.isatty()
        self._width = 0

    def turn(self, model: str, number: int, count: int) -> None:
        """Say that a model begins with a turn."""
        self._at[model] = f"{clean(model)}: turn {number:,} of {count:,}"
        if self._terminal:
            line = ", ".join(self._at.values())[: shutil.get_terminal_size().columns - 1]
            print(f"\r{line.ljust(self._width)}", end="", file=sys.stderr, flush=True)
            self._width = len(line)
        elif number in (1, count) or number * 10 // count > (number - 1) * 10 // count:
            print(self._at[model], file=sys.stderr)

    def failed(self, model: str, why: str) -> None:
        """Say why a model ended early."""
        self.end()
        self._at.pop(model, None)
        print(clean(f"{model}: {why}"), file=sys.stderr)

    def end(self) -> None:
        """End the line."""
        if self._width:
            self._width = 0
            print(file=sys.stderr)


async def _named(name: str, settings: Settings, stack: AsyncExitStack) -> str:
    """Return the session to replay. One in an archive is imported for as long as it takes."""
    if not _is_file(name):
        return name
    return await stack.enter_async_context(imported_for_now(settings, Path(name)))


def _is_file(name: str) -> bool:
    return os.path.isfile(name)  # False also for a name that no file can have


async def _of_notebook(path: Path, settings: Settings, begun: list[_Begun]) -> ReplaySetUp:
    from agent_kernel.conversion.replay.notebook_file import turns_of

    found = await turns_of(path, settings.kernel)
    if found.ignored:
        print(f"Not repeated: {', '.join(sorted(found.ignored))}", file=sys.stderr)
    begun.append(_Begun(found.prompts))
    return ReplaySetUp(found.prompts, list(found.uploads.values()), {})


async def _of_chain(
    name: str, settings: Settings, begun: list[_Begun], stack: AsyncExitStack
) -> tuple[ReplaySetUp, str]:
    """Return what is replayed of a stored conversation, and the backend of its container."""
    store = compose.store(settings)
    try:
        rows = await filled(store, settings, await read_chain(store.rows, name))
        ids = [row.container_id for row in rows if row.container_id is not None]
        container = await store.rows.container(ids[-1]) if ids else None
    finally:
        await store.aclose()
    if container is None:
        raise NotFound(
            "The container of this conversation is gone, and with it the files that its prompts are about.",
            hint="Only conversations whose container is still there can be replayed.",
        )
    containers = await stack.enter_async_context(containers_with(settings, container.id))
    original = OriginalContainer(containers, container.id)
    before = ModelReplay("", rows, [_seconds(row.response, row.created_at) for row in rows])
    before.files = await made_files(containers, container.id, rows[0].created_at)
    models = ", ".join(models_of(exchanges(rows))) or "the user alone"
    begun.append(_Begun(prompts_of(rows), [column_of(before, f"before: {models}")]))
    uploads = await uploads_of(original, rows[0].created_at)
    set_up = ReplaySetUp(prompts_of(rows), uploads, await params_like(original))
    return set_up, container.backend


def _seconds(response: object, begun: float) -> float:
    ended = response.get("completed_at") if isinstance(response, dict) else None
    return max(0.0, float(ended) - begun) if ended else 0.0


def _write(target: Path, title: str, prompts: Sequence[str], columns: Sequence[ReplayColumn]) -> None:
    made = to_page if target.suffix == ".html" else to_markdown_page
    with write_errors(target):
        target.write_bytes(made(f"Replay of {title}", prompts, columns).encode("utf-8", "replace"))
