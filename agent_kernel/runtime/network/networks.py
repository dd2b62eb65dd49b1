"""The networks of a runtime's containers: what each sandbox gets at its start and at every attachment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from agent_kernel.egress.policy import MAX_ENTRIES, NetworkPolicy, NetworkRule
from agent_kernel.egress.records import NetworkUse
from agent_kernel.runtime.network.bound import NetworkBound
from agent_kernel.runtime.network.egress import ContainerEgress, NetworkOptions, RunningCall
from agent_kernel.runtime.network.policy import ContainerNetwork, kept
from agent_kernel.runtime.observe.audit import AuditLog
from agent_kernel.sandboxes.base import Backend
from agent_kernel.sandboxes.egress import Access
from agent_kernel.sandboxes.network import Network
from agent_kernel.store.records import ContainerRow
from agent_kernel.store.rows import Rows


class RowPolicy:
    """The policy in a container's row; see `KeptPolicy`."""

    def __init__(self, rows: Rows, container_id: str, bound: NetworkBound, audit: AuditLog) -> None:
        self._bound = bound
        self._rows = rows
        self._id = container_id
        self._audit = audit

    async def bound(self) -> NetworkPolicy:
        """Return the operator's policy."""
        return await self._bound.known()

    async def read(self) -> NetworkPolicy:
        """Return the present policy within the operator's; that of a deleted container allows nothing."""
        row = await self._rows.container(self._id)
        if row is None:
            return NetworkPolicy()
        return ContainerNetwork.of_json(row.network).within(await self.bound()).policy

    async def allow(self, rule: NetworkRule, by: str) -> NetworkPolicy:
        """Add a destination to the policy, if it still asks and has room; see `KeptPolicy.allow`."""
        row = await self._rows.container(self._id)
        if row is None:
            return NetworkPolicy()
        network = ContainerNetwork.of_json(row.network)
        policy = network.policy
        if not policy.asks or rule in policy.rules or len(policy.rules) >= MAX_ENTRIES:
            return network.within(await self.bound()).policy
        # Not `changed`: the program has reached the host, so it needs no further listener.
        wider = replace(network, policy=NetworkPolicy((*policy.rules, rule), asks=True))
        await self._rows.put_network(self._id, wider.as_json())
        self._audit.write("network", container=self._id, allowed=wider.policy.entries(), by=by)
        return wider.within(await self.bound()).policy


class Networks:
    """The networks of the containers in `rows`. `bound` has the operator's policy."""

    def __init__(self, rows: Rows, bound: NetworkBound, options: NetworkOptions, audit: AuditLog) -> None:
        self._rows = rows
        self.bound = bound
        self._options = options
        self._audit = audit
        self._known: dict[str, ContainerEgress] = {}

    def access(self, row: ContainerRow) -> Access:
        """Return what a container may reach. One whose row is damaged reaches nothing."""
        network = self._network(kept(row.network).ports)
        return Access() if network is None else Access(network, self._egress(row))

    async def network(self, row: ContainerRow) -> Network | None:
        """Return the network of a container's sandbox; None if it has none, or if its row is damaged."""
        await self.bound.known()
        return self._network(kept(row.network).ports)

    def _network(self, ports: tuple[int, ...] | None) -> Network | None:
        return None if ports is None else Network(ports, tuple(self.bound.variables.items()))

    async def default(self, backend: Backend) -> Network | None:
        """Return the network of a sandbox whose request does not mention it."""
        ports = ContainerNetwork.new(None, await self.bound.known()).ports
        return self._network(ports) if backend.capabilities().network else None

    def _egress(self, row: ContainerRow) -> ContainerEgress:
        found = self._known.get(row.id)
        if found is None:
            audit = self._audit.of(row.tenant)
            kept_policy = RowPolicy(self._rows, row.id, self.bound, audit)
            found = self._known[row.id] = ContainerEgress(row.id, kept_policy, self._options, audit)
        return found

    def used(self, container_id: str) -> NetworkUse:
        """Return what a container used and was refused in this process."""
        found = self._known.get(container_id)
        return found.broker.used() if found is not None else NetworkUse()

    def take_refusals(self, container_id: str) -> Sequence[str]:
        """Return a line for each destination that a container was refused since the last call."""
        found = self._known.get(container_id)
        return found.take_refusals() if found is not None else ()

    def change(self, container_id: str, policy: NetworkPolicy) -> None:
        """Apply a container's new policy: open connections that it does not allow are closed."""
        if (found := self._known.get(container_id)) is not None:
            found.change(policy)

    @contextmanager
    def calling(self, container_id: str, caller: RunningCall) -> Iterator[None]:
        """Attribute a container's connections that begin meanwhile to a call, if it is the only one."""
        found = self._known.get(container_id)
        if found is None:
            yield
            return
        with found.calling(caller):
            yield

    def forget(self, container_id: str) -> None:
        """Forget a container that is gone."""
        self._known.pop(container_id, None)
