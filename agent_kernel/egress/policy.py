"""The network policy: which hosts and ports the programs in a sandbox may reach.

An empty policy refuses everything. A policy is only ever narrowed: a request names hosts within the
operator's policy. The presets of a policy are names only; they allow nothing until they are expanded.
A rule can limit a host to reading; then the host process reads the requests to it.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from agent_kernel.egress.catalogue import PRESETS
from agent_kernel.egress.names import UnusableName, canonical, literal, shown
from agent_kernel.errors import InvalidRequest

PARAM = "network_policy.allowed_domains"
MAX_ENTRIES = 1000
TRANSPARENT_PORTS = (22, 80, 443)
"""Ports that a sandbox with any policy serves without proxy settings."""

READING = ("GET", "HEAD", "OPTIONS")
"""The methods of HTTP that a read-only rule allows. They are written in capitals, as HTTP has them."""

_REMEMBERED = 64
"""Destinations whose decision a policy remembers."""

_PRIVATE = "tcp://"
_READ_ONLY = "GET "
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_-]*", re.ASCII)
_FORMS = (
    "Write a host name, `*.` and a domain, either with `:port`, `GET host` for a host that may only be read, "
    "`tcp://host:port` for a private service, or the name of a preset."
)


@dataclass(frozen=True)
class NetworkRule:
    """One allowed destination.

    `name` is canonical; with `wildcard` it means all names below it, not the name itself. `port` None means
    every port. A `private` rule may also reach private addresses; only there may `name` be an address. A
    `read_only` rule allows only HTTP requests with the methods in `READING`, and is neither of both.
    """

    name: str
    wildcard: bool = False
    port: int | None = None
    private: bool = False
    read_only: bool = False

    def __str__(self) -> str:
        """Return the rule as an entry that `NetworkPolicy.parse` reads."""
        host = f"[{self.name}]" if ":" in self.name else self.name
        prefix = _PRIVATE if self.private else "*." if self.wildcard else ""
        method = _READ_ONLY if self.read_only else ""
        return f"{method}{prefix}{host}" + (f":{self.port}" if self.port else "")

    def covers(self, name: str, port: int) -> bool:
        """Whether the rule allows a canonical name and a port."""
        return self.port in (None, port) and self._names(name)

    def includes(self, other: NetworkRule) -> bool:
        """Whether the rule allows everything that `other` does."""
        if other.private and not self.private:
            return False
        if other.wildcard and not self.wildcard:
            return False
        if self.read_only and not other.read_only:
            return False
        same = self.wildcard and other.wildcard and self.name == other.name
        return self.port in (None, other.port) and (same or self._names(other.name))

    def forbids(self, method: bytes) -> str | None:
        """Return why the rule refuses requests with a method of HTTP, as a phrase; None if it does not."""
        name = method.decode("latin-1")
        if not self.read_only or name in READING:
            return None
        return f"the rule `{self}` allows only {', '.join(READING[:-1])} and {READING[-1]}, not {shown(name)}"

    def _names(self, name: str) -> bool:
        return name.endswith(f".{self.name}") if self.wildcard else name == self.name


@dataclass(frozen=True)
class NetworkDecision:
    """The decision about one destination. `rule` is None if it is refused; `reason` is a phrase.

    `name` is canonical, or safe to show if the destination has no valid name. `by` says what decided: the
    `policy`, a `rule`, or who was asked. `once`: it holds for this connection, not for the policy.
    """

    name: str
    port: int
    rule: NetworkRule | None
    reason: str
    by: str = "policy"
    once: bool = False


@dataclass(frozen=True)
class NetworkPolicy:
    """An allowlist of destinations. Without rules everything is refused.

    `presets` are names of presets whose hosts are not among the rules yet. If it `asks`, a person can still
    allow a destination that no rule allows, within the operator's policy. `decide` refuses it: the question
    is asked elsewhere.
    """

    rules: tuple[NetworkRule, ...] = ()
    presets: tuple[str, ...] = ()
    asks: bool = False

    @classmethod
    def parse(cls, allowed_domains: Sequence[str], *, param: str = PARAM) -> NetworkPolicy:
        """Read the entries of an allowlist.

        Entries: `name` and `*.name` (every port), `name:port`, `*.name:port`, `GET name` and `GET name:port`
        (read-only), `tcp://host:port` (a private service: a request may name one only if the operator does),
        and the name of a preset. Raises
        `InvalidRequest`, with the place of the first wrong entry as `param`: no list, an empty one, more than
        1000 entries, a malformed entry, an unknown preset.
        """
        if isinstance(allowed_domains, (str, bytes)) or not isinstance(allowed_domains, Sequence):
            raise InvalidRequest("The allowed domains are not a list of strings.", param=param)
        if not allowed_domains:
            raise InvalidRequest(
                "The list of allowed domains is empty.",
                hint='To have no network, use {"type": "disabled"}.',
                param=param,
            )
        if len(allowed_domains) > MAX_ENTRIES:
            raise InvalidRequest(f"A policy has at most {MAX_ENTRIES} allowed domains.", param=param)
        found = [_entry(entry, f"{param}[{index}]") for index, entry in enumerate(allowed_domains)]
        rules = dict.fromkeys(each for each in found if isinstance(each, NetworkRule))
        return cls(tuple(rules), tuple(dict.fromkeys(each for each in found if isinstance(each, str))))

    def expanded(self, hosts: Mapping[str, Sequence[NetworkRule]]) -> NetworkPolicy:
        """Return this policy with the rules of each of its presets, by name. Raises `KeyError` for none."""
        added = [rule for preset in self.presets for rule in hosts[preset]]
        return replace(self, rules=tuple(dict.fromkeys([*self.rules, *added])), presets=())

    def narrowed(self, outer: NetworkPolicy, *, param: str = PARAM) -> NetworkPolicy:
        """Return this policy as it applies within the operator's. Both are expanded.

        `name:port` becomes the private service if the operator's policy has `tcp://name:port`. Raises
        `InvalidRequest` that names the first rule which allows more than `outer` does.
        """
        if self.presets or outer.presets:
            raise ValueError("a policy is narrowed after its presets are expanded")
        rules = tuple(dict.fromkeys(_within(rule, outer, param) for rule in self.rules))
        return replace(self, rules=rules)

    def destination(self, name: str, port: int) -> NetworkRule | None:
        """Return the rule for exactly one destination (its name canonical), None if this policy refuses it.

        It is private where this policy names the destination as a private service, and read-only where this
        policy limits it to reading.
        """
        decided = self.decide(name, port)
        if decided.rule is None or decided.name != name:
            return None
        rule = decided.rule
        return NetworkRule(name, port=port, private=rule.private, read_only=rule.read_only)

    def decide(self, name: str, port: int) -> NetworkDecision:
        """Decide about a destination that a sandbox asks for. It raises nothing, and resolves nothing."""
        found = self._decided.get((name, port))
        if found is None:
            if len(self._decided) >= _REMEMBERED:  # the names come from inside
                self._decided.clear()
            found = self._decided[name, port] = self._decide(name, port)
        return found

    @functools.cached_property
    def _decided(self) -> dict[tuple[str, int], NetworkDecision]:
        return {}

    def _decide(self, name: str, port: int) -> NetworkDecision:
        try:
            host = canonical(name)
        except UnusableName as error:
            address = literal(name.strip("[]"))
            if address is None:
                return NetworkDecision(shown(name), port, None, str(error))
            host = str(address)
        covering = [rule for rule in self.rules if rule.covers(host, port)]
        if covering:
            # A private rule names the destination exactly, so it comes before a public wildcard. A rule that
            # allows everything comes before one that allows reading: each rule of an allowlist adds to it.
            rule = max(
                covering,
                key=lambda each: (
                    each.private,
                    not each.read_only,
                    not each.wildcard,
                    each.port is not None,
                ),
            )
            return NetworkDecision(host, port, rule, f"allowed by {rule}")
        if any(rule.covers(host, rule.port or port) for rule in self.rules):
            return NetworkDecision(host, port, None, f"port {port} of this host is not in the allowlist")
        return NetworkDecision(host, port, None, "not in the allowlist")

    def names(self, host: str) -> bool:
        """Whether a rule allows a canonical name, on any port."""
        return any(rule.covers(host, rule.port or TRANSPARENT_PORTS[-1]) for rule in self.rules)

    @property
    def reads(self) -> bool:
        """Whether a rule limits a host to reading."""
        return any(rule.read_only for rule in self.rules)

    @functools.cached_property
    def ports(self) -> tuple[int, ...]:
        """The ports that the sandbox serves without proxy settings, in ascending order."""
        return tuple(sorted({*TRANSPARENT_PORTS, *(rule.port for rule in self.rules if rule.port)}))

    def entries(self) -> list[str]:
        """Return the presets and rules as entries that `parse` reads."""
        return [*self.presets, *map(str, self.rules)]

    def to_json(self) -> dict[str, Any]:
        """Return it as the API's `network_policy`, in the form that `from_json` reads."""
        if not self.rules and not self.presets and not self.asks:
            return {"type": "disabled"}
        return {"type": "ask" if self.asks else "allowlist", "allowed_domains": self.entries()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> NetworkPolicy:
        """Read what `to_json` returned. Raises `InvalidRequest` for anything else."""
        if dict(value) == {"type": "disabled"}:
            return cls()
        if value.keys() != {"type", "allowed_domains"} or value["type"] not in ("allowlist", "ask"):
            raise InvalidRequest("The network policy is malformed.", param="network_policy")
        if value["type"] == "ask":
            return cls.asking(value["allowed_domains"])
        return cls.parse(value["allowed_domains"])

    @classmethod
    def asking(cls, allowed_domains: Sequence[str] = (), *, param: str = PARAM) -> NetworkPolicy:
        """Read an allowlist, which may be empty, whose other destinations are asked about; see `parse`."""
        empty = isinstance(allowed_domains, list | tuple) and not allowed_domains
        return cls(asks=True) if empty else replace(cls.parse(allowed_domains, param=param), asks=True)


def _within(rule: NetworkRule, outer: NetworkPolicy, param: str) -> NetworkRule:
    for other in outer.rules:
        if other.private and (other.name, other.port) == (rule.name, rule.port) and not rule.wildcard:
            if rule.read_only:
                raise InvalidRequest(
                    f"{other} is a private service, which cannot be limited to reading.",
                    hint=f"Name it whole: {other}.",
                    param=param,
                )
            return other
    if not any(other.includes(rule) for other in outer.rules):
        raise InvalidRequest(
            f"The operator's network policy does not allow {rule}.",
            hint=f"It allows: {_listed(outer)}.",
            param=param,
            code="network_policy_not_allowed",
        )
    return rule


def _listed(policy: NetworkPolicy) -> str:
    names = [str(rule) for rule in policy.rules]
    if not names:
        return "no network"
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def entries_in(words: Iterable[str]) -> list[str]:
    """Return the entries of a list that was split at its spaces: a `GET` belongs to the word after it."""
    entries: list[str] = []
    for word in words:
        if entries and entries[-1] == _READ_ONLY.strip():
            entries[-1] = f"{_READ_ONLY}{word}"
        else:
            entries.append(word)
    return entries


def _entry(entry: object, param: str) -> NetworkRule | str:
    """Return the rule that an entry is, or the name of a preset."""
    if not isinstance(entry, str):
        raise InvalidRequest("An allowed domain is not a string.", param=param)
    if entry == _READ_ONLY.strip():
        raise _malformed(entry, "a host name follows `GET`", param)
    if not _WORD.fullmatch(entry):
        return _rule(entry, param)
    if (word := entry.lower()) in PRESETS:
        return word
    raise InvalidRequest(
        f"There is no preset `{shown(entry)}`.",
        hint=f"The presets are {', '.join(PRESETS)}. A host of one label needs `tcp://host:port`.",
        param=param,
        code="unknown_network_preset",
    )


def _rule(entry: str, param: str) -> NetworkRule:
    read_only = entry.startswith(_READ_ONLY)
    text = entry.removeprefix(_READ_ONLY)
    private = text.lower().startswith(_PRIVATE)
    host, port = _split(text[len(_PRIVATE) :] if private else text, entry, param)
    wildcard = host.startswith("*.") and not private
    try:
        name = _name(host.removeprefix("*.") if wildcard else host, private)
    except UnusableName as error:
        raise _malformed(entry, str(error), param) from None
    if wildcard and "." not in name:
        raise _malformed(entry, "a wildcard needs at least two labels after `*.`", param)
    if private and port is None:
        raise _malformed(entry, "a private service needs its port", param)
    if read_only:
        _check_read_only(entry, name, wildcard or private, param)
    return NetworkRule(name, wildcard, port, private, read_only)


def _check_read_only(entry: str, name: str, other: bool, param: str) -> None:
    if other:
        raise _malformed(entry, "only one public host can be limited to reading", param)
    if "." not in name:
        raise _malformed(entry, "neither a preset nor a host of one label can be limited to reading", param)


def _name(host: str, private: bool) -> str:
    address = literal(host) if private else None
    return canonical(host) if address is None else str(address)


def _split(text: str, entry: str, param: str) -> tuple[str, int | None]:
    """Return the host and the port of an entry. The host of `[fd00::1]:5432` is `fd00::1`."""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or ":" not in host or (rest and not rest.startswith(":")):
            raise _malformed(entry, "it is not a valid host name", param)
        separator, digits = rest[:1], rest[1:]
    else:
        host, separator, digits = text.partition(":")
    if not separator:
        return host, None
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 5 and 0 < int(digits) < 1 << 16):
        raise _malformed(entry, "a port is a number from 1 to 65535", param)
    return host, int(digits)


def _malformed(entry: str, why: str, param: str) -> InvalidRequest:
    method = _READ_ONLY if entry.startswith(_READ_ONLY) else ""
    return InvalidRequest(
        f"The allowed domain `{method}{shown(entry.removeprefix(method))}` is malformed: {why}.",
        hint=_FORMS,
        param=param,
    )
