"""The settings that the extension shows and changes: the same state as the `%` lines have."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from agent_kernel.errors import InvalidRequest
from agent_kernel.kernel.magics.approve import default_in_words, rule_in_words, sentence
from agent_kernel.kernel.preferences import check_budget
from agent_kernel.policy.rules import read_policy

if TYPE_CHECKING:
    from agent_kernel.kernel.notebook import Notebook
    from agent_kernel.kernel.panel.messages import PanelRequest
    from agent_kernel.kernel.panel.source import PanelSource
    from agent_kernel.policy.rules import Policy

LONGEST_MODEL = 1000


async def read(source: PanelSource, request: PanelRequest) -> Mapping[str, Any]:
    """Return the settings in force."""
    request.only(())
    return shown(source.notebook)


def shown(notebook: Notebook) -> dict[str, Any]:
    """Return the settings as JSON; policies also in words."""
    policy, operator = notebook.approval, notebook.settings.operator
    return {
        "model": notebook.model,
        "instructions": notebook.choices.now.instructions or "",
        "budget": notebook.budget,
        "approval": policy.to_json(),
        "approval_in_words": sentence(policy),
        "rules_in_words": _in_words(policy),
        "operator_in_words": None if operator is None else _in_words(operator),
        "allowed_kinds": list(notebook.approvals.allowed),
    }


def _in_words(policy: Policy) -> list[str]:
    """Return a sentence for each rule, and one for what no rule matches."""
    return [*map(rule_in_words, policy.rules), default_in_words(policy)]


def fingerprint(notebook: Notebook) -> str:
    """Return a short text that changes when the settings or the network policy do."""
    told = [shown(notebook), dict(notebook.container.params)]
    return f"{zlib.crc32(json.dumps(told, sort_keys=True, default=str).encode()):08x}"


async def change(source: PanelSource, request: PanelRequest) -> Mapping[str, Any]:
    """Change the settings that are named, all or none; null returns one to its default."""
    if not request.arguments:
        raise InvalidRequest("set needs a setting.", hint=f"It knows: {', '.join(_READERS)}.")
    request.only(_READERS)
    read_values = {name: _READERS[name](value) for name, value in request.arguments.items()}
    notebook, approvals = source.notebook, source.notebook.approvals
    if "allowed_kinds" in read_values:
        kept = read_values.pop("allowed_kinds")
        approvals.allowed[:] = [each for each in approvals.allowed if each in kept]
    if "approval" in read_values and (policy := read_values.pop("approval")) is None:
        approvals.forget()
    elif "approval" in request.arguments:
        approvals.said = policy
    notebook.choices.said = notebook.choices.said.choose(**read_values)
    return shown(notebook)


def _text(name: str, longest: int) -> Callable[[object], str | None]:
    def checked(value: object) -> str | None:
        if value is None:
            return None
        if not isinstance(value, str) or len(value) > longest:
            raise InvalidRequest(f"{name} must be a string of at most {longest:,} characters.", param=name)
        return value.strip()

    return checked


def read_model(value: object) -> str | None:
    """Return the name of a model, or None for the default. Raises `InvalidRequest`."""
    name = _text("model", LONGEST_MODEL)(value) or None
    if name and len(name.split()) > 1:
        raise InvalidRequest("The name of a model has no spaces.", param="model")
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
        why = re.sub(r"approval\.rules\[\d+\](\.?)", _place, str(error))
        raise InvalidRequest(f"The policy was not changed: {why}.", param="rule") from None


def _place(found: re.Match[str]) -> str:
    return "a rule's " if found[1] else "a rule"


def _kinds(value: object) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise InvalidRequest("allowed_kinds must be a list of patterns.")
    return value


_READERS: dict[str, Callable[[object], Any]] = {
    "model": read_model,
    "instructions": _text("instructions", 100_000),
    "budget": _budget,
    "approval": _approval,
    "allowed_kinds": _kinds,
}
