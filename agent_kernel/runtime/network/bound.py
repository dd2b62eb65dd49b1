"""The operator's policy: what its presets stand for now, and requests within it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from agent_kernel.egress.policy import PARAM, NetworkPolicy, NetworkRule
from agent_kernel.egress.presets.presets import Presets
from agent_kernel.errors import InvalidRequest
from agent_kernel.runtime.network.policy import bounded

log = logging.getLogger(__name__)


class NetworkBound:
    """The operator's `policy` with the hosts of its presets, as they were read last.

    A preset that names no host any more allows nothing. This is logged, and so are missing file hosts.
    """

    def __init__(self, policy: NetworkPolicy, presets: Presets | None = None) -> None:
        self._policy = policy
        self._presets = presets or Presets()
        self._known = None if policy.presets else policy
        self._problems: dict[str, Sequence[str]] = {}
        self.variables: dict[str, str] = {}
        """The variables by which the tools of its presets learn their indexes, as they were read last."""

    @property
    def last(self) -> NetworkPolicy | None:
        """The policy as it was read last; None if it never was."""
        return self._known

    async def known(self) -> NetworkPolicy:
        """Return the policy as it was read last, and read it if it never was."""
        return self._known or await self.read()

    async def read(self) -> NetworkPolicy:
        """Read the presets' hosts, unless they were read a short time ago, and return the policy."""
        async with asyncio.TaskGroup() as group:
            tasks = {word: group.create_task(self._read(word)) for word in self._policy.presets}
        found = {word: task.result() for word, task in tasks.items()}
        self.variables = {name: value for _, told in found.values() for name, value in told.items()}
        self._known = self._policy.expanded({word: rules for word, (rules, _) in found.items()})
        return self._known

    async def offered(self) -> dict[str, Any]:
        """Return it as the API's `network_policy`: the names of its presets, then every host."""
        found = NetworkPolicy((await self.read()).rules, self._policy.presets)
        return found.to_json()

    async def narrowed(self, asked: NetworkPolicy, *, param: str = PARAM) -> NetworkPolicy:
        """Return a request's policy, with the hosts of its presets, as it applies within the operator's.

        Raises `InvalidRequest` if it allows more, or if a preset names no host on this machine.
        """
        bound = await self.read()
        hosts = {word: await self._within(word, bound, param) for word in asked.presets}
        return bounded(asked.expanded(hosts), await self.read(), param=param)

    async def _within(self, word: str, bound: NetworkPolicy, param: str) -> Sequence[NetworkRule]:
        if word in self._policy.presets:
            return (await self._presets.hosts(word, param=param)).rules
        if not bound.rules:
            raise _too_wide(word, "It allows no network.", param)
        # Nothing outside is asked before the operator's policy allows it.
        configured = await asyncio.to_thread(self._presets.configured, word, param=param)
        self._check(word, configured, bound, param)
        rules = (await self._presets.hosts(word, param=param)).rules
        self._check(word, rules, bound, param)
        return rules

    @staticmethod
    def _check(word: str, rules: Sequence[NetworkRule], bound: NetworkPolicy, param: str) -> None:
        for rule in rules:
            try:
                NetworkPolicy((rule,)).narrowed(bound)
            except InvalidRequest as error:
                raise _too_wide(word, f"It needs {rule}. {error.hint or ''}".strip(), param) from None

    async def _read(self, word: str) -> tuple[Sequence[NetworkRule], Mapping[str, str]]:
        """Return a preset's rules and variables; none of both if it names no host."""
        try:
            found = await self._presets.hosts(word)
            variables = await asyncio.to_thread(self._presets.variables, word)
        except InvalidRequest as error:
            self._log(word, [error.message])
            return (), {}
        self._log(word, [f"The preset {word} may lack hosts: {problem}." for problem in found.problems])
        return found.rules, variables

    def _log(self, word: str, problems: Sequence[str]) -> None:
        """Log the problems of a preset that it did not have when it was read last."""
        for problem in problems:
            if problem not in self._problems.get(word, ()):
                log.warning("The operator's network policy: %s", problem)
        self._problems[word] = problems


def _too_wide(word: str, hint: str, param: str) -> InvalidRequest:
    return InvalidRequest(
        f"The operator's network policy does not allow the preset {word}.",
        hint=hint,
        param=param,
        code="network_policy_not_allowed",
    )
