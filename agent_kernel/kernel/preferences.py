"""A notebook's preferences, from its metadata and its magics: model, instructions, budget ..."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, cast, get_args

from agent_kernel.cassettes.cassette import MODES
from agent_kernel.errors import AgentKernelError, InvalidRequest
from agent_kernel.policy.rules import Policy, read_policy

METADATA_KEY = "agent_kernel"
MAX_NOTEBOOK = 256 << 20
"""The largest notebook file, in bytes, from which metadata is read."""

_LIMITS: dict[str, type[int] | type[float]] = {"tokens": int, "seconds": float, "tool_calls": int}
_EXAMPLE = "For example: %budget tokens=50000 seconds=300 tool_calls=20"

SHOW_WORK = "show_work"
"""Not for the kernel: whether the extension and the export show a notebook's work; see `export`."""

_NAMES = (
    "model", "instructions", "budget", "approval", "provenance", "drift", "drift_ignore", "rerun", "keep",
    SHOW_WORK,
)  # fmt: skip

Rerun = Literal["rewind", "continue", "ask"]
"""What a cell does that has run before: go back to before it, go on from where the notebook is, or ask."""

Budget = dict[str, int | float]
"""Limits of one turn by name: `tokens`, `seconds`, `tool_calls`. A missing name means no limit."""


@dataclass(frozen=True)
class Preferences:
    """Preferences from one place. None means unset: the next, less specific place applies."""

    model: str | None = None
    instructions: str | None = None
    budget: Budget | None = None
    approval: Policy | None = None
    provenance: bool | None = None
    drift: str | None = None
    drift_ignore: tuple[str, ...] | None = None
    rerun: Rerun | None = None
    keep: bool | None = None

    def over(self, other: Preferences) -> Preferences:
        """Return these preferences, with unset ones taken from `other`."""
        return Preferences(
            self.model if self.model is not None else other.model,
            self.instructions if self.instructions is not None else other.instructions,
            self.budget if self.budget is not None else other.budget,
            self.approval if self.approval is not None else other.approval,
            self.provenance if self.provenance is not None else other.provenance,
            self.drift or other.drift,
            self.drift_ignore if self.drift_ignore is not None else other.drift_ignore,
            self.rerun if self.rerun is not None else other.rerun,
            self.keep if self.keep is not None else other.keep,
        )

    def choose(self, **chosen: Any) -> Preferences:
        """Return a copy with these preferences set; None unsets one."""
        return replace(self, **chosen)


@dataclass
class Choices:
    """The three places that set a notebook's preferences, the most specific first."""

    said: Preferences = field(default_factory=Preferences)
    """Set by magics."""
    notebook: Preferences = field(default_factory=Preferences)
    """Set in the notebook's metadata."""
    cell: Preferences = field(default_factory=Preferences)
    """Set in the metadata of the running cell."""

    @property
    def now(self) -> Preferences:
        """The preferences that apply to the running cell."""
        return self.cell.over(self.said).over(self.notebook)


def from_metadata(metadata: object, *, where: str) -> Preferences:
    """Return the preferences under `agent_kernel` in a notebook's or a cell's metadata.

    Raises `InvalidRequest` for an unknown name or invalid value: a misspelled budget must not mean no limit.
    """
    found = metadata.get(METADATA_KEY) if isinstance(metadata, Mapping) else None
    if found is None:
        return Preferences()
    hint = (
        'Valid: {"model": "NAME", "instructions": "...", "budget": {"tokens": 1}, "approval": "ask", '
        '"provenance": false, "drift": "warn", "drift_ignore": ["*seconds*"], '
        '"rerun": "continue", "keep": true}.'
    )
    if not isinstance(found, Mapping):
        raise InvalidRequest(f"`agent_kernel` in the metadata of {where} must be an object.", hint=hint)
    unknown = [str(name) for name in found if name not in _NAMES]
    if unknown:
        raise InvalidRequest(f"`agent_kernel` in the metadata of {where} has {unknown[0]!r}.", hint=hint)
    for name in ("model", "instructions"):
        if not isinstance(found.get(name, ""), str):
            raise InvalidRequest(f"`agent_kernel.{name}` in the metadata of {where} must be text.", hint=hint)
    budget = found.get("budget")
    if budget is not None and not isinstance(budget, Mapping):
        raise InvalidRequest(
            f"`agent_kernel.budget` in the metadata of {where} must be an object.", hint=hint
        )
    for name in ("provenance", "keep"):
        if not isinstance(found.get(name), bool | None):
            raise InvalidRequest(
                f"`agent_kernel.{name}` in the metadata of {where} must be true or false.", hint=hint
            )
    return Preferences(
        model=found.get("model") or None,
        instructions=found.get("instructions"),
        budget=None if budget is None else check_budget(budget),
        approval=_approval(found.get("approval"), where, hint),
        provenance=found.get("provenance"),
        drift=_drift(found.get("drift"), where),
        drift_ignore=_patterns(found.get("drift_ignore"), where),
        rerun=_rerun(found.get("rerun"), where),
        keep=found.get("keep"),
    )


def _drift(given: object, where: str) -> str | None:
    if given is not None and given not in MODES:
        raise InvalidRequest(
            f"`agent_kernel.drift` in the metadata of {where} is not valid.", hint=f"Use {', '.join(MODES)}."
        )
    return given if isinstance(given, str) else None


def _patterns(given: object, where: str) -> tuple[str, ...] | None:
    if given is None:
        return None
    if not isinstance(given, list) or not all(isinstance(each, str) for each in given) or len(given) > 100:
        raise InvalidRequest(
            f"`agent_kernel.drift_ignore` in the metadata of {where} must be a list of patterns.",
            hint='For example: ["*seconds*", "Finished at *"]',
        )
    return tuple(given)


def _rerun(given: object, where: str) -> Rerun | None:
    if given is None:
        return None
    try:
        return read_rerun(given)
    except InvalidRequest as error:
        raise InvalidRequest(
            f"`agent_kernel.rerun` in the metadata of {where} cannot be {given!r}.", hint=error.hint
        ) from None


def read_rerun(given: object) -> Rerun:
    """Return the setting as given. Raises `InvalidRequest`."""
    if given not in get_args(Rerun):
        raise InvalidRequest(f"rerun cannot be {given!r}.", hint=f"Use {', '.join(get_args(Rerun))}.")
    return cast(Rerun, given)


def _approval(given: object, where: str, hint: str) -> Policy | None:
    try:
        return None if given is None else read_policy(given)
    except ValueError as error:
        raise InvalidRequest(f"`agent_kernel` in the metadata of {where}: {error}.", hint=hint) from None


class NotebookUnreadable(AgentKernelError):
    """A notebook's file is missing or cannot be read. The message is a clause without a full stop."""


def of_notebook(path: Path) -> Preferences:
    """Return the preferences in a notebook file; none set in a file that is not a notebook.

    Raises `NotebookUnreadable`, and `InvalidRequest` as `from_metadata`.
    """
    if path.suffix != ".ipynb":
        return Preferences()
    try:
        if path.stat().st_size > MAX_NOTEBOOK:
            raise NotebookUnreadable(f"`{path.name}` is larger than {MAX_NOTEBOOK >> 20} MiB")
        notebook = json.loads(path.read_bytes())
    except FileNotFoundError:  # a front end on another machine, or deleted
        raise NotebookUnreadable(f"there is no file `{path.name}` where the notebook should be") from None
    except OSError as error:
        raise NotebookUnreadable(f"`{path.name}` cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise NotebookUnreadable(f"`{path.name}` is not valid JSON") from error
    metadata = notebook.get("metadata") if isinstance(notebook, dict) else None
    return from_metadata(metadata, where="the notebook")


def parse_budget(arguments: str) -> Budget:
    """Parse `tokens=N seconds=N tool_calls=N`, each optional. Raises `InvalidRequest`."""
    budget: dict[str, object] = {}
    for word in _words(arguments):
        name, equals, value = word.partition("=")
        if not equals:
            raise InvalidRequest(f"{word!r} is not a limit.", hint=_EXAMPLE)
        budget[name] = value.replace("_", "").replace(",", "")
    return check_budget(budget)


def _words(arguments: str) -> list[str]:
    try:
        return shlex.split(arguments)
    except ValueError as error:
        raise InvalidRequest(f"The budget cannot be read: {error}.", hint=_EXAMPLE) from error


def check_budget(budget: Mapping[Any, object]) -> Budget:
    """Return the validated budget. Raises `InvalidRequest` for an unknown limit or an impossible value."""
    checked: Budget = {}
    for name, value in budget.items():
        kind = _LIMITS.get(name)
        if kind is None:
            raise InvalidRequest(
                f"There is no limit {str(name)!r}.", hint=f"The limits are {', '.join(_LIMITS)}. {_EXAMPLE}"
            )
        try:
            number = kind(value) if isinstance(value, (str, int, float)) else math.nan
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if (
            isinstance(value, bool)
            or not 0 < number < math.inf
            or (kind is int and isinstance(value, float) and value != number)
        ):
            whole = "a whole number" if kind is int else "a number"
            raise InvalidRequest(
                f"{name} cannot be {value!r}: it must be {whole} above 0.", hint=_EXAMPLE, param=str(name)
            )
        checked[str(name)] = number
    return checked
