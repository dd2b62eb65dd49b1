"""What has another name or place in the earlier build."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from agent_kernel.config import RuntimeSettings
from agent_kernel.sandboxes.toolbox import Toolbox


def find(name: str, *modules: str) -> Any:
    """Return what one of these modules has under this name. Raises `ImportError` if none has it."""
    for module in modules:
        try:
            return getattr(importlib.import_module(module), name)
        except (ModuleNotFoundError, AttributeError):
            continue
    raise ImportError(f"{name} is in none of {', '.join(modules)}")


def backends() -> dict[str, Any]:
    """Return the backends by name; the data folder is the one of the settings."""
    embedded = find(
        "BubblewrapBackend", "agent_kernel.sandboxes.bubblewrap.backend", "agent_kernel.sandboxes.bubblewrap"
    )
    docker = find("DockerBackend", "agent_kernel.sandboxes.docker.backend", "agent_kernel.sandboxes.docker")
    folder = RuntimeSettings().data_path()
    return {"embedded": embedded(folder, Toolbox(folder)), "docker": docker()}


def runtime(models: Any, source: Any, folder: Path, most_steps: int) -> Any:
    """Return a runtime with a store below `folder`."""
    settings = find("TurnSettings", "agent_kernel.runtime.turns.settings", "agent_kernel.runtime.local")
    made = find("LocalRuntime", "agent_kernel.runtime.local")
    given: dict[str, Any] = {
        "models": models,
        "backend": source,
        "turn_settings": settings(max_steps=most_steps),
    }
    if importlib.util.find_spec("agent_kernel.runtime.parts") is None:
        store = find("SqliteStore", "agent_kernel.runtime.sqlite")
        return made(store=store(folder / "store.sqlite"), **given)
    store = find("sqlite_store", "agent_kernel.store.sqlite.store")
    return made(find("RuntimeParts", "agent_kernel.runtime.parts")(store=store(folder), **given))


def run_in(channel: Any, command: str) -> AsyncIterator[Any]:
    """Run a command line as a turn's shell call does."""
    run = find("run_shell_call", "agent_kernel.tools.shell.run", "agent_kernel.tools.shell")
    events: AsyncIterator[Any] = run(channel, [command])
    return events
