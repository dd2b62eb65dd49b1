"""The tools of a notebook's requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agent_kernel.kernel.offers.screen import NotebookScreen
    from agent_kernel.kernel.settings import KernelSettings

SHELL_MODEL = "agent_kernel/shell"
"""The model that runs its input as a command, so that `!command` is a turn of the same conversation."""

PYTHON_MODEL = "agent_kernel/python"
"""The model that runs its input in the Python session, so that a `%%python` cell is such a turn too."""

SCREEN_MODEL = "agent_kernel/screen"
"""The model that looks at the desktop, so that `%screen` is a turn too."""

USER_MODELS = (SHELL_MODEL, PYTHON_MODEL, SCREEN_MODEL)


def tools_of(
    container_id: str, settings: KernelSettings, model: str | None, language: str, screen: NotebookScreen
) -> list[dict[str, Any]]:
    """Return the tools that the settings and `screen` offer, for a cell in this language."""
    environment = {"type": "container_reference", "container_id": container_id}
    tools: list[dict[str, Any]] = [{"type": "shell", "environment": environment}]
    if model == PYTHON_MODEL or (settings.python and model != SHELL_MODEL):
        ours = {"outputs": True} | ({} if language == "python" else {"language": language})
        tools.append({"type": "code_interpreter", "container": container_id, "agent_kernel": ours})
    if settings.apply_patch and model not in USER_MODELS:
        tools.append({"type": "apply_patch", "agent_kernel": {"environment": environment}})
    if settings.web and model not in USER_MODELS:
        tools.append({"type": "web_search"})
    if model == SCREEN_MODEL or (screen.offered and model not in USER_MODELS):
        tools.append(screen.tool(container_id))
    return tools
