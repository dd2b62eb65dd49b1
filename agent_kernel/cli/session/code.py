"""`agent-kernel session export ID --as code FOLDER`: a notebook and a script that need no agent."""

from __future__ import annotations

import argparse
import re
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from agent_kernel.cli import flags
from agent_kernel.cli.session.archive import run_interruptibly
from agent_kernel.cli.session.target import check_folder, write_errors
from agent_kernel.errors import AgentKernelError, ConfigurationError, NotFound

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent_kernel.config import Settings
    from agent_kernel.conversion.code.verification import ExportedCode, FreshPlace
    from agent_kernel.conversion.containers import OriginalContainer
    from agent_kernel.store.records import ContainerRow, ResponseRow
    from agent_kernel.store.rows import Rows

OTHER = {"docker": "bubblewrap", "bubblewrap": "docker"}
"""The backend that verifies what ran on another."""

LEASE = 60.0
"""Seconds that the fresh container outlives this process if it is killed."""


def write(arguments: argparse.Namespace) -> int:
    """Write the folder, and print what was and what was not verified. Return the exit code."""
    if arguments.file == "-":
        raise ConfigurationError("A notebook and a script cannot be printed.", hint="Name a folder.")
    folder = Path(arguments.file)
    check_folder(folder, force=arguments.force)
    name, made = run_interruptibly(_exported(flags.load(arguments), arguments))
    from agent_kernel.conversion.code.notebook import notebook, script
    from agent_kernel.kernel.render.text import clean

    suffix, text = script(made.export)
    with write_errors(folder):
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.ipynb").write_text(notebook(made.export, made.runs, made.report), encoding="utf-8")
        (folder / f"{name}{suffix}").write_text(text, encoding="utf-8")
    kept, left_out = len(made.export.plan.kept), len(made.export.plan.left_out)
    steps = f"{kept:,} step{'' if kept == 1 else 's'}"
    print(f"{folder / name}.ipynb, {name}{suffix}: {steps}, {left_out:,} left out")
    for each in made.problems:
        print(f"Not verified: {clean(each)}")
    if not made.problems:
        print("Verified: files and figures are the same.")
    return 0


async def _exported(settings: Settings, arguments: argparse.Namespace) -> tuple[str, ExportedCode]:
    from agent_kernel.cli import compose
    from agent_kernel.cli.session.chain import filled, read_chain
    from agent_kernel.conversion.code.verification import exported

    store = compose.store(settings)
    try:
        rows = await filled(store, settings, await read_chain(store.rows, arguments.id))
        container = await _container(store.rows, rows)
    finally:
        await store.aclose()
    name = re.sub(r"[^\w.-]+", "-", container.name if container else "") or "conversation"
    async with AsyncExitStack() as stack:
        try:
            original = await _original(stack, settings, container)
        except AgentKernelError as error:
            why = f"Its container cannot be read: {error.message}"
            return name, await exported(rows, name, None, None, why)
        if arguments.no_verify:
            return name, await exported(rows, name, original, None, "It was not run: --no-verify was given.")
        fresh = await _fresh(stack, arguments, container)
        return name, await exported(rows, name, original, fresh)


async def _container(known: Rows, rows: Sequence[ResponseRow]) -> ContainerRow | None:
    ids = [row.container_id for row in rows if row.container_id is not None]
    return await known.container(ids[-1]) if ids else None


async def _original(
    stack: AsyncExitStack, settings: Settings, container: ContainerRow | None
) -> OriginalContainer:
    from agent_kernel.cli.opened import containers_with
    from agent_kernel.conversion.containers import OriginalContainer

    if container is None:
        raise NotFound("it has none.")
    containers = await stack.enter_async_context(containers_with(settings, container.id))
    await containers.files.list(container.id, limit=1)
    return OriginalContainer(containers, container.id)


async def _fresh(
    stack: AsyncExitStack, arguments: argparse.Namespace, container: ContainerRow | None
) -> FreshPlace:
    """Open the runtime of another backend: what depends on one sandbox should show."""
    from agent_kernel.cli import compose
    from agent_kernel.conversion.code.verification import FreshPlace

    backend = OTHER.get(container.backend if container else "", "bubblewrap")
    mine = {"image": "", "docker_runtime": ""} if backend != "docker" else {}
    fixed = {"sandbox": backend, "approval": "auto", "approval_rules": "", **mine}
    runtime = compose.local_runtime(flags.load(arguments, **fixed), lease=LEASE)
    stack.push_async_callback(runtime.aclose)
    params = {"name": "verification", "network_policy": {"type": "disabled"}}
    limit = container.memory_limit if container else None
    return FreshPlace(runtime, backend, params | ({"memory_limit": limit} if limit else {}))
