"""What a server says about one of its models: `GET /v1/models/NAME`.

Every field may be absent: other servers of the Messages API list no more than names. The answer is untrusted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

EFFORTS = ("low", "medium", "high", "xhigh", "max")
"""Levels of effort, the least first."""
THOUGHTS = ("adaptive", "enabled", "disabled")
"""The forms of `thinking` that requests of ours have."""

_MOST_TOKENS = 10**9


@dataclass(frozen=True)
class Details:
    """The limits of a model in tokens, and what it accepts. None: the server does not say."""

    window: int | None = None
    longest: int | None = None
    """The most tokens of one answer."""
    thinking: frozenset[str] | None = None
    efforts: tuple[str, ...] | None = None

    def effort(self, asked: str) -> str | None:
        """Return the level that the model has for the one that was asked for: the next lower, else the least.

        None if the model has no levels.
        """
        if self.efforts is None:
            return asked
        place = EFFORTS.index(asked)
        lower = [each for each in self.efforts if EFFORTS.index(each) <= place]
        return next(iter([*lower[-1:], *self.efforts]), None)

    def thinks(self, form: str) -> bool | None:
        """Return whether the model accepts a form of `thinking`."""
        return None if self.thinking is None else form in self.thinking


UNKNOWN = Details()


def read_details(entry: Mapping[str, Any]) -> Details:
    """Read an entry of the list of models."""
    able = _object(entry.get("capabilities"))
    types = _object(_object(able.get("thinking")).get("types"))
    effort = _object(able.get("effort"))
    return Details(
        window=_tokens(entry.get("max_input_tokens")),
        longest=_tokens(entry.get("max_tokens")),
        thinking=frozenset(each for each in THOUGHTS if _supported(types.get(each))) if types else None,
        efforts=tuple(each for each in EFFORTS if _supported(effort.get(each))) if effort else None,
    )


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _supported(value: object) -> bool:
    return _object(value).get("supported") is True


def _tokens(value: object) -> int | None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return value if whole and 0 < value <= _MOST_TOKENS else None  # type: ignore[operator,return-value]
