"""The settings that the extension shows and changes: the same state as the `%` lines have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from agent_kernel.errors import InvalidRequest
from agent_kernel.kernel.magics.approve import sentence
from agent_kernel.kernel.preferences import check_budget
from agent_kernel.policy.rules import read_policy

if TYPE_CHECKING:
    from agent_kernel.kernel.notebook import Notebook
    from agent_kernel.kernel.panel.messages import PanelRequest
    from agent_kernel.kernel.panel.source import PanelSource

LONGEST_MODEL = 1000


async def read(source: PanelSource, request: PanelRequest) -> Mapping[str, Any]:
    """Return the settings in force."""
    request.only(())
    return shown(source.notebook)


def shown(notebook: Notebook) -> dict[str, Any]:
    """Return the settings as JSON; `approval` also in words."""
    policy = notebook.approval
    return {
        "model": notebook.model,
        "instructions": notebook.choices.now.instructions or "",
        "budget": notebook.budget,
        "approval": policy.to_json(),
        "approval_in_words": sentence(policy),
        "allowed_kinds": list(notebook.approvals.allowed),
    }


async def change(source: PanelSource, request: PanelRequest) -> Mapping[str, Any]:
    """Change the settings that are named, all or none; null returns one to its default."""
    if not request.arguments:
        raise InvalidRequest("set needs a setting.", hint=f"It knows: {', '.join(_READERS)}.")
    request.only(_READERS)
    read_values = {name: _READERS[name](value) for name, value in request.arguments.items()}
    notebook = source.notebook
    if "approval" in read_values:
        notebook.approvals.said = read_values.pop("approval")
    notebook.choices.said = notebook.choices.said.choose(**read_values)
    return shown(notebook)


def _text(name: str, longest: int) -> Callable[[object], str | None]:
    def checked(value: object) -> str | None:
        if value is None:
            return None
        if not isinstance(value, str) or len(value) > longest:
            raise InvalidRequest(f"{name} must be a text of at most {longest:,} characters.")
        return value.strip()

    return checked


def _model(value: object) -> str | None:
    name = _text("model", LONGEST_MODEL)(value) or None
    if name and len(name.split()) > 1:
        raise InvalidRequest("The name of a model has no spaces.")
    return name


def _budget(value: object) -> Any:
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise InvalidRequest("budget must be an object of limits.")
    return check_budget(value)


def _approval(value: object) -> Any:
    try:
        return None if value is None else read_policy(value)
    except ValueError as error:
        raise InvalidRequest(f"The approval policy cannot be used: {error}.") from None


_READERS: dict[str, Callable[[object], Any]] = {
    "model": _model,
    "instructions": _text("instructions", 100_000),
    "budget": _budget,
    "approval": _approval,
}
