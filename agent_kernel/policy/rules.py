"""The approval policy: which commands run, which need approval, and which never run. Does no I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from agent_kernel.policy.commands import Words, covers, occurs, plain_commands
from agent_kernel.policy.hosts import MalformedHost, matches, read_host

Action = Literal["allow", "ask", "deny"]

STRICTNESS: Mapping[Action, int] = {"allow": 0, "ask": 1, "deny": 2}

MODES: Mapping[str, Action] = {"auto": "allow", "ask": "ask", "never": "deny"}
"""Names of policies and their action for commands that no rule matches."""

MOST_RULES = 200
LONGEST_PATTERN = 1000
LONGEST_REASON = 1000
"""Clients send rules with requests, so their number and size are limited."""


@dataclass(frozen=True)
class Rule:
    """A rule. `larger_than` is a command's length in bytes. If both conditions are set, both must match.

    A rule with `host` is about destinations on the network, and about no command; see `policy.hosts`.
    """

    action: Action
    command: str | None = None
    larger_than: int | None = None
    reason: str | None = None
    host: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it in the form that `read_policy` reads."""
        return {name: value for name, value in vars(self).items() if value is not None}

    def describe(self) -> str:
        """Describe the commands or destinations that it matches."""
        if self.host is not None:
            return f"connections to `{self.host}`"
        pattern = self.command or ""
        shown = f"{pattern[:-2]} …" if pattern.endswith(" *") else pattern  # "rm *" reads as "all files"
        parts = [f"commands like `{shown}`"] if pattern else []
        if self.larger_than is not None:
            parts.append(f"commands of more than {self.larger_than} bytes")
        return " that are also ".join(parts)

    def stops(self, command: str) -> bool:
        """Return whether this rule, which asks or denies, matches the command."""
        if self.host is not None:
            return False
        if self.larger_than is not None and len(command.encode("utf-8", "replace")) <= self.larger_than:
            return False
        return self.command is None or occurs(self.command, command)


@dataclass(frozen=True)
class Verdict:
    """The action for a call, and the reason as a sentence."""

    action: Action
    reason: str


@dataclass(frozen=True)
class Policy:
    """A list of rules: the first that matches decides, otherwise `default`."""

    default: Action = "allow"
    rules: tuple[Rule, ...] = ()
    after_outside: Action = "allow"
    """The action for calls with effects in a conversation that has read text from outside."""

    def verdict(self, commands: Sequence[str]) -> Verdict:
        """Decide about one call. Its commands run together or not at all, so the strictest verdict counts."""
        return max((self._about(each) for each in commands), key=_strictness, default=self._by_default())

    def about_host(self, name: str, port: int) -> Verdict | None:
        """Return the verdict of the first rule for a destination, None if there is none.

        `name` is in canonical form. The default is about commands only.
        """
        for rule in self.rules:
            if rule.host is not None and matches(rule.host, name, port):
                return Verdict(rule.action, rule.reason or _words(rule))
        return None

    def to_json(self) -> dict[str, Any]:
        """Return it in the form that `read_policy` reads."""
        more = {"after_outside": self.after_outside} if self.after_outside != "allow" else {}
        return {"default": self.default, "rules": [rule.to_json() for rule in self.rules], **more}

    def _about(self, command: str) -> Verdict:
        uncovered: Sequence[Words] | None = plain_commands(command)
        for rule in self.rules:
            if rule.action != "allow":
                if rule.stops(command):
                    return Verdict(rule.action, rule.reason or _words(rule))
            elif uncovered is not None and rule.command is not None:
                uncovered = [words for words in uncovered if not covers(rule.command, words)]
                if not uncovered:
                    return Verdict("allow", rule.reason or _words(rule))
        return self._by_default()

    def _by_default(self) -> Verdict:
        if self.default == "deny":
            return Verdict("deny", "The policy denies every command that no rule allows.")
        if self.default == "ask":
            return Verdict("ask", "The policy asks before every command that no rule allows.")
        return Verdict("allow", "No rule forbids it.")


def strictest(policies: Sequence[Policy], commands: Sequence[str]) -> Verdict:
    """Return the strictest verdict of several policies, so that none can loosen another."""
    return max((each.verdict(commands) for each in policies), key=_strictness)


def after_outside(policies: Sequence[Policy]) -> Action:
    """Return the strictest action for calls with effects after text from outside was read."""
    return max((each.after_outside for each in policies), key=STRICTNESS.__getitem__, default="allow")


def strictest_about_host(policies: Sequence[Policy], name: str, port: int) -> Verdict | None:
    """Return the strictest verdict of the policies that have a rule for a destination; None if none has."""
    found = [verdict for each in policies if (verdict := each.about_host(name, port)) is not None]
    return max(found, key=_strictness, default=None)


def _strictness(verdict: Verdict) -> int:
    return STRICTNESS[verdict.action]


def _words(rule: Rule) -> str:
    verb = {"allow": "allows", "ask": "asks before", "deny": "denies"}[rule.action]
    return f"The policy {verb} {rule.describe()}."


def read_policy(given: object) -> Policy:
    """Read a policy: a name in `MODES`, or `{"default": ..., "rules": [...], "after_outside": ...}`.

    Raises `ValueError`; its message names the problem.
    """
    if isinstance(given, str):
        return Policy(_action(given, "approval"))
    if not isinstance(given, Mapping):
        raise ValueError("approval must be auto, ask, never, or an object with default and rules")
    _only(given, {"default", "rules", "after_outside"}, "approval")
    rules = given.get("rules") or ()
    if not isinstance(rules, Sequence) or isinstance(rules, str) or len(rules) > MOST_RULES:
        raise ValueError(f"approval.rules must be a list of at most {MOST_RULES} rules")
    read = tuple(_rule(rule, f"approval.rules[{index}]") for index, rule in enumerate(rules))
    outside = _action(given.get("after_outside", "allow"), "approval.after_outside")
    return Policy(_action(given.get("default", "allow"), "approval.default"), read, outside)


def _rule(given: object, where: str) -> Rule:
    if not isinstance(given, Mapping):
        raise ValueError(f"{where} must be an object")
    _only(given, {"action", "command", "larger_than", "reason", "host"}, where)
    action = _action(given.get("action"), f"{where}.action")
    command, reason, size = given.get("command"), given.get("reason"), given.get("larger_than")
    for name, text, most in (("command", command, LONGEST_PATTERN), ("reason", reason, LONGEST_REASON)):
        if text is not None and not (isinstance(text, str) and text.strip() and len(text) <= most):
            raise ValueError(f"{where}.{name} must be a string of at most {most} characters")
    if size is not None and (not isinstance(size, int) or isinstance(size, bool) or size < 0):
        raise ValueError(f"{where}.larger_than must be a number of bytes")
    if given.get("host") is not None:
        if command is not None or size is not None:
            raise ValueError(f"{where} has a host, so it can have no command and no larger_than")
        return Rule(action, reason=reason, host=_host(given["host"], f"{where}.host"))
    if command is None and size is None:
        raise ValueError(f"{where} matches nothing: it needs command, larger_than or host")
    if action == "allow" and (command is None or size is not None):
        raise ValueError(f"{where} allows: it needs command and no other condition")
    if command is not None and not command.replace("*", "").replace("?", "").strip():
        raise ValueError(f"{where}.command matches every command: use default instead")
    return Rule(action, command, size, reason)


def _host(given: object, where: str) -> str:
    try:
        return read_host(given)
    except MalformedHost as error:
        raise ValueError(f"{where} {error}") from None


def _action(given: object, where: str) -> Action:
    if isinstance(given, str):
        for word, action in MODES.items():
            if given in (word, action):
                return action
    words = ", ".join(dict.fromkeys((*MODES, *STRICTNESS)))
    raise ValueError(f"{where} must be one of {words}")


def _only(given: Mapping[Any, Any], known: set[str], where: str) -> None:
    if unknown := sorted(str(name) for name in given if name not in known):
        raise ValueError(f"{where} has no field {unknown[0]!r}; it may have {', '.join(sorted(known))}")
