"""The errors that upstreams report in the body of an answer, in whatever form."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

NO_REASON = "it gives no reason"

_HOPELESS = (
    "invalid_", "image_", "unsupported_", "insufficient_", "not_supported",
    "not_found", "authentication_", "permission_",
)  # fmt: skip
"""Beginnings of error codes and types for which a retry cannot help."""

_PASSING = (
    "server_error", "overload", "rate_limit", "timeout", "timed_out", "unavailable", "internal", "capacity",
)  # fmt: skip
"""Parts of error codes and types for which a retry may help."""

_WORDS = ("message", "msg", "detail", "error", "errors", "reason", "description", "title")
_AT_THE_TOP = ("error", "message", "msg", "detail", "errors")
_CODES = ("type", "code", "status", "status_code")
_TRY_AGAIN = (408, 409, 425, 429)


@dataclass(frozen=True)
class Reported:
    """An error as an upstream reports it. `codes` are its code, type and status, as far as it gives them."""

    message: str
    codes: tuple[object, ...] = ()

    @property
    def is_hopeless(self) -> bool:
        """Whether the codes say that a retry cannot help."""
        return is_hopeless(*self.codes) or any(
            400 <= status < 500 and status not in _TRY_AGAIN for status in self._statuses()
        )

    @property
    def may_pass(self) -> bool:
        """Whether the codes say that a retry may help."""
        named = [each.lower() for each in self.codes if isinstance(each, str)]
        if any(part in name for part in _PASSING for name in named):
            return True
        return any(status in _TRY_AGAIN or 500 <= status < 600 for status in self._statuses())

    def _statuses(self) -> Iterator[int]:
        for each in self.codes:
            if isinstance(each, int) or (isinstance(each, str) and each.isdecimal() and len(each) == 3):
                yield int(each)


def is_hopeless(*codes: object) -> bool:
    """Return whether one of the codes or types says that a retry cannot help."""
    return any(isinstance(each, str) and each.startswith(_HOPELESS) for each in codes)


def reported_in(body: Any) -> Reported | None:
    """Return the error that a body or an event reports, or None."""
    if isinstance(body, str) and body.strip():
        return Reported(body)
    if not isinstance(body, Mapping) or isinstance(body.get("output"), list):
        return None
    if body.get("choices") and not body.get("error"):
        return None
    if not any(body.get(name) for name in _AT_THE_TOP) and body.get("type") != "error":
        return None
    error = body.get("error")
    return reported(error if isinstance(error, Mapping | str) and error else body, outer=body)


def reported(error: Any, outer: Any = None) -> Reported:
    """Return an error object, or a text. `outer` is what it is in."""
    places = [each for each in (error, outer) if isinstance(each, Mapping)]
    codes = [place.get(name) for place in places for name in _CODES]
    known = tuple(dict.fromkeys(each for each in codes if isinstance(each, str | int) and each != "error"))
    return Reported(_said(error) or (_dumped(error) if error else NO_REASON), known)


def _said(value: Any, depth: int = 0) -> str:
    """Return the words of an error: the first of its fields that has some. Of a list, those of each entry."""
    if isinstance(value, str):
        return value.strip()
    if depth > _DEEPEST:
        return ""
    if isinstance(value, Mapping):
        found = (_said(value.get(name), depth + 1) for name in _WORDS)
        return next(filter(None, found), "")
    if isinstance(value, list):
        return "; ".join(filter(None, (_said(each, depth + 1) for each in value[:_ENTRIES])))
    return ""


_DEEPEST = 5
_ENTRIES = 5


def _dumped(error: Any) -> str:
    return json.dumps(error, ensure_ascii=False, default=str)
