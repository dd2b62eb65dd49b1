"""Which tools of a server a request offers, and which of them need an approval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent_kernel.errors import InvalidRequest
from agent_kernel.protocol.validation import shortened

Json = Mapping[str, Any]

MOST_NAMES = 1000


@dataclass(frozen=True)
class ToolFilter:
    """A set of tools: by name, by whether the server calls them read-only, or by both.

    A field that is None limits nothing. An empty `names` matches no tool.
    """

    names: frozenset[str] | None = None
    read_only: bool | None = None

    def matches(self, name: str, read_only: bool) -> bool:
        """Return whether a tool is in the set."""
        named = self.names is None or name in self.names
        return named and self.read_only in (None, read_only)


@dataclass(frozen=True)
class ApprovalRule:
    """The `require_approval` of a server. `always` comes before `never`; a tool in neither is asked about."""

    always: ToolFilter | None = None
    never: ToolFilter | None = None

    def asks(self, name: str, read_only: bool) -> bool:
        """Return whether calls of a tool need an approval."""
        if self.always is not None and self.always.matches(name, read_only):
            return True
        return self.never is None or not self.never.matches(name, read_only)


EVERYTHING = ToolFilter()


def read_allowed(given: object, where: str) -> ToolFilter | None:
    """Read `allowed_tools`: names, or a filter. Null means all tools. Raises `InvalidRequest`."""
    if given is None:
        return None
    if isinstance(given, Sequence) and not isinstance(given, str | bytes):
        return ToolFilter(_names(given, where))
    return _filter(given, where)


def read_approval_rule(given: object, where: str) -> ApprovalRule:
    """Read `require_approval`. Null means that every call is asked about. Raises `InvalidRequest`."""
    if given is None or given == "always":
        return ApprovalRule()
    if given == "never":
        return ApprovalRule(never=EVERYTHING)
    if not isinstance(given, Mapping) or given.keys() - {"always", "never"}:
        raise InvalidRequest(
            f"{where} must be always, never, or an object with always and never.", param=where
        )
    always, never = (
        None if given.get(each) is None else _filter(given[each], f"{where}.{each}")
        for each in ("always", "never")
    )
    return ApprovalRule(always, never)


def _filter(given: object, where: str) -> ToolFilter:
    if not isinstance(given, Mapping) or given.keys() - {"tool_names", "read_only"}:
        raise InvalidRequest(f"{where} must be an object with tool_names and read_only.", param=where)
    read_only = given.get("read_only")
    if not isinstance(read_only, bool | None):
        raise InvalidRequest(
            f"{where}.read_only must be true or false, not {shortened(read_only)}.",
            param=f"{where}.read_only",
        )
    names = given.get("tool_names")
    return ToolFilter(None if names is None else _names(names, f"{where}.tool_names"), read_only)


def _names(given: object, where: str) -> frozenset[str]:
    if not isinstance(given, list | tuple) or not all(isinstance(each, str) for each in given):
        raise InvalidRequest(f"{where} must be a list of names.", param=where)
    if len(given) > MOST_NAMES:
        raise InvalidRequest(f"{where} may have at most {MOST_NAMES} names.", param=where)
    return frozenset(given)
