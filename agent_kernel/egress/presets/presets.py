"""The hosts of presets: read from the operator's side, asked for file hosts, and kept for ten minutes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Generic, TypeVar

from agent_kernel.egress.catalogue import PRESETS
from agent_kernel.egress.names import literal
from agent_kernel.egress.policy import PARAM, NetworkRule
from agent_kernel.egress.presets.ask import Route
from agent_kernel.egress.presets.follow import Followed, follow
from agent_kernel.egress.presets.index import Index, NoHosts, Site
from agent_kernel.egress.presets.operator import Operator
from agent_kernel.errors import InvalidRequest

_T = TypeVar("_T")

KEPT_SECONDS = 600.0
KEPT_PROBLEM_SECONDS = 60.0
"""Hosts that may be incomplete, and the reason why there are none, are kept for a shorter time."""

FOLLOW_SECONDS = 20.0
"""The longest that an index is asked for."""

Read = Callable[[Operator], Sequence[Index]]
"""Returns where a tool downloads from, at least one. Blocks while it runs the tool. Raises `NoHosts`."""


@dataclass(frozen=True)
class PresetHosts:
    """The hosts of a preset. `problems` say why file hosts may be missing, as sentences without a dot."""

    rules: tuple[NetworkRule, ...]
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Found:
    """The hosts of a preset, and the newest whole answer of each of its indexes."""

    answers: Mapping[Index, Followed]
    hosts: PresetHosts


@dataclass(frozen=True)
class _Kept(Generic[_T]):
    """What was read, and until when it counts."""

    until: float
    value: _T


class Presets:
    """The presets of one operator. `route` is how indexes are asked, and names the private services.

    Everything is read at most once in ten minutes (one, after a problem), also if many ask for it.
    """

    def __init__(
        self,
        operator: Operator | None = None,
        route: Route | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._operator = operator or Operator()
        self._route = route or Route()
        self._clock = clock
        self._read: dict[str, _Kept[tuple[Index, ...] | NoHosts]] = {}
        self._followed: dict[str, _Kept[_Found]] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    def configured(self, preset: str, *, param: str = PARAM) -> tuple[NetworkRule, ...]:
        """Return the hosts that a tool's configuration names, without those that its indexes name.

        Blocks while it runs the tool. Raises `InvalidRequest` if there are none.
        """
        return self._rules([index.site for index in self._indexes(preset, param)])

    def variables(self, preset: str) -> dict[str, str]:
        """Return the variables by which a tool inside a sandbox learns its indexes. Blocks as `configured`.

        They have no passwords. Raises `InvalidRequest` if the tool's configuration names no index.
        """
        found: dict[str, str] = {}
        for index in self._indexes(preset, PARAM):
            for name in index.variables:
                found[name] = index.separator.join(filter(None, (found.get(name), str(index.site))))
        return found

    async def hosts(self, preset: str, *, param: str = PARAM) -> PresetHosts:
        """Return the hosts of a preset. Raises `InvalidRequest` if its tool's configuration names none.

        An index that does not answer is a problem of the result, and no error. Cancelling ends questions.
        """
        async with self._locks.setdefault(preset, asyncio.Lock()):
            kept = self._followed.get(preset)
            if kept is not None and kept.until > self._clock():
                return kept.value.hosts
            indexes = await asyncio.to_thread(self._indexes, preset, param)
            earlier = kept.value if kept is not None else _Found({}, PresetHosts(()))
            found = await self._follow(indexes, earlier)
            self._followed[preset] = self._keep(found, problem=bool(found.hosts.problems))
            return found.hosts

    def _indexes(self, preset: str, param: str) -> tuple[Index, ...]:
        kept = self._read.get(preset)
        if kept is None or kept.until <= self._clock():
            kept = self._read[preset] = self._read_now(preset)
        if isinstance(kept.value, NoHosts):
            raise InvalidRequest(
                f"The preset {preset} names no host on this machine: {kept.value}.",
                hint=kept.value.hint,
                param=param,
                code="network_preset_without_hosts",
            )
        return kept.value

    def _read_now(self, preset: str) -> _Kept[tuple[Index, ...] | NoHosts]:
        module, _, name = PRESETS[preset].partition(":")
        read: Read = getattr(import_module(module), name)
        try:
            found: tuple[Index, ...] | NoHosts = tuple(read(self._operator))
        except NoHosts as error:
            found = error
        return self._keep(found, problem=isinstance(found, NoHosts))

    def _keep(self, value: _T, *, problem: bool) -> _Kept[_T]:
        return _Kept(self._clock() + (KEPT_PROBLEM_SECONDS if problem else KEPT_SECONDS), value)

    async def _follow(self, indexes: Sequence[Index], earlier: _Found) -> _Found:
        async with asyncio.TaskGroup() as group:
            tasks = {index: group.create_task(self._follow_one(index)) for index in indexes}
        answers: dict[Index, Followed] = {}
        sites: list[Site] = []
        problems: dict[str, None] = {}
        for index, task in tasks.items():
            followed = task.result()
            sites += followed.sites
            if followed.problem is None:
                answers[index] = followed
                continue
            problems[followed.problem] = None
            if index in earlier.answers:  # an index that does not answer now takes no host away
                answers[index] = earlier.answers[index]
                sites += answers[index].sites
        return _Found(answers, PresetHosts(self._rules(sites), tuple(problems)))

    async def _follow_one(self, index: Index) -> Followed:
        try:
            async with asyncio.timeout(FOLLOW_SECONDS):
                return await follow(index, self._route)
        except TimeoutError:
            return Followed([index.site], f"{index.site.name} did not answer in time")

    def _rules(self, sites: Sequence[Site]) -> tuple[NetworkRule, ...]:
        """Return a rule for each site. An address is one only if the operator names it."""
        found = [self._route.rule(site) for site in sites]
        return tuple(dict.fromkeys(rule for rule in found if rule.private or literal(rule.name) is None))
