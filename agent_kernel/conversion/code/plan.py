"""Which steps of a conversation make an ordinary notebook, in order, and which are left out and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agent_kernel.conversion.code.looking import is_safe, only_looks
from agent_kernel.conversion.exchanges import Exchange, WorkStep
from agent_kernel.kernel.provenance.numbers import numbers

LANGUAGES = ("shell", "python")

ONLY_LOOKED = "only looked"
NOT_RUN = "not run"

_SMALL = 10
"""Numbers below this are in nearly every text: they do not show that an answer quotes an output."""


@dataclass(frozen=True)
class KeptStep:
    """A step of the notebook, with the number of its exchange from 1."""

    exchange: int
    step: WorkStep


@dataclass(frozen=True)
class LeftOutStep:
    """A step that the notebook does not have, and why."""

    exchange: int
    step: WorkStep
    why: str


@dataclass(frozen=True)
class CodePlan:
    """The steps of the notebook, and those left out."""

    kept: tuple[KeptStep, ...]
    left_out: tuple[LeftOutStep, ...]

    @property
    def only_shell(self) -> bool:
        """Whether no step is Python."""
        return all(each.step.language == "shell" for each in self.kept)


def plan(found: Sequence[Exchange], *, failed: bool = False) -> CodePlan:
    """Choose the steps. With `failed`, those that failed are kept too: they may have done a part.

    Commands that only looked are left out, unless the answer quotes a number that they printed.
    """
    safe = is_safe(step.code for each in found for step in each.steps if step.language == "shell")
    kept: list[KeptStep] = []
    left_out: list[LeftOutStep] = []
    for number, exchange in enumerate(found, 1):
        quoted = set(_values(exchange.answer))
        for step in exchange.steps:
            if why := _why_not(step, quoted, failed=failed, safe=safe):
                left_out.append(LeftOutStep(number, step, why))
            else:
                kept.append(KeptStep(number, step))
    return CodePlan(tuple(kept), tuple(left_out))


def _why_not(step: WorkStep, quoted: set[str], *, failed: bool, safe: bool) -> str:
    if step.language not in LANGUAGES:
        return f"{step.language} has no form in a Python notebook"
    if step.ended == NOT_RUN or step.stderr.startswith("Not run:"):
        return NOT_RUN
    if step.ended and not failed:
        return f"failed: {step.ended}"
    if step.language == "shell" and safe and only_looks(step.code):
        return "" if quoted & set(_values(step.stdout)) else ONLY_LOOKED
    return ""


def _values(text: str) -> Iterator[str]:
    for number in numbers(text):
        if number.value is not None and abs(number.value) >= _SMALL:
            yield str(number.value.normalize())
