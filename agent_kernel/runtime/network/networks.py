"""The networks of a runtime's containers: what each sandbox gets at its start and at every attachment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakValueDictionary

from agent_kernel.egress.policy import MAX_ENTRIES, NetworkPolicy, NetworkRule
from agent_kernel.errors import InvalidRequest
from agent_kernel.runtime.network.base import Destination
from agent_kernel.runtime.network.bound import NetworkBound
from agent_kernel.runtime.network.egress import ContainerEgress, NetworkOptions, RunningCall
from agent_kernel.runtime.network.policy import FIELD, ContainerNetwork, keeps_answers, kept, read_policy
from agent_kernel.runtime.network.secret_hosts import NetworkSecrets, Secrets
from agent_kernel.runtime.network.secrets import FIELD as SECRETS
from agent_kernel.runtime.network.secrets import check_domains, check_readable, read_secrets
from agent_kernel.runtime.network.turn_use import destinations
from agent_kernel.runtime.observe.audit import AuditLog
from agent_kernel.sandboxes.base import Backend, SandboxRef
from agent_kernel.sandboxes.channel import Channel
from agent_kernel.sandboxes.egress import Access
from agent_kernel.sandboxes.network import Network
from agent_kernel.store.records import ContainerRow
from agent_kernel.store.rows import Rows


class RowPolicy:
    """The policy in a container's row; see `KeptPolicy`.

    `apply` gets the secrets in the row, and whether connections may be limited to reading. `lock` is held
    while the row changes.
    """

    def __init__(
        self,
        rows: Rows,
        container_id: str,
        bound: NetworkBound,
        audit: AuditLog,
        apply: Callable[[Secrets, bool], None],
        lock: asyncio.Lock,
    ) -> None:
        self._bound = bound
        self._rows = rows
        self._id = container_id
        self._audit = audit
        self._apply = apply
        self._lock = lock
        self._seen: tuple[int, str | None] | None = None
        """The version of the rows, and what the row held then; None as text if there was no row."""
        self._last: tuple[str, NetworkPolicy, ContainerNetwork] | None = None
        self._reads = False

    async def bound(self) -> NetworkPolicy:
        """Return the operator's policy."""
        return await self._bound.known()

    async def read(self) -> NetworkPolicy:
        """Return the present policy within the operator's; that of a deleted container allows nothing."""
        version, seen = self._rows.version(), self._seen  # before the row: a change between shows next time
        known = version is not None and seen is not None and seen[0] == version
        text = seen[1] if known and seen is not None else await self._text(version)
        if text is None:
            return NetworkPolicy()
        bound = self._bound.last or await self.bound()
        if self._last is None or self._last[0] != text or self._last[1] is not bound:
            network = ContainerNetwork.of_json(text).within(bound)
            self._last = text, bound, network
            self._reads = network.reads(bound)
        return self._last[2].policy

    def use_secrets(self) -> None:
        """Let connections use the secrets of the policy that was read last."""
        if self._last is not None:
            self._apply(self._last[2].secrets, self._reads)

    async def _text(self, version: int | None) -> str | None:
        """Read the network in the row, which is done again only if something in the store has changed."""
        row = await self._rows.container(self._id)
        text = None if row is None else row.network
        self._seen = None if version is None else (version, text)
        return text

    async def allow(self, rule: NetworkRule, by: str) -> NetworkPolicy:
        """Add a destination to the policy, if it still asks and has room; see `KeptPolicy.allow`."""
        async with self._lock:
            return await self._allow(rule, by)

    async def _allow(self, rule: NetworkRule, by: str) -> NetworkPolicy:
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


@dataclass(frozen=True)
class NetworkChange:
    """A container's new network, and its secrets before and after."""

    network: ContainerNetwork
    earlier: Secrets
    secrets: Secrets
    ports: tuple[int, ...]
    """Ports that the sandbox did not have before."""
    reads: bool
    """Whether its connections may be limited to reading."""

    def described(self) -> dict[str, Any]:
        """Return it for the audit log."""
        policy = self.network.policy
        names = [f"{each.name} for {each.domain}" for each in self.secrets]
        return {"allowed": policy.entries(), "asks": policy.asks or None, "secrets": names or None}


class Networks:
    """The networks of the containers in `rows`. `bound` has the operator's policy."""

    def __init__(self, rows: Rows, bound: NetworkBound, options: NetworkOptions, audit: AuditLog) -> None:
        self._rows = rows
        self.bound = bound
        self._options = options
        self._audit = audit
        self._known: dict[str, ContainerEgress] = {}
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self.secrets = NetworkSecrets(options.trust)

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

            def apply(secrets: Secrets, reads: bool) -> None:
                self.secrets.apply(row.id, secrets, made.broker, reads=reads)

            kept_policy = RowPolicy(self._rows, row.id, self.bound, audit, apply, self.lock(row.id))
            made = found = self._known[row.id] = ContainerEgress(row.id, kept_policy, self._options, audit)
        return found

    def lock(self, container_id: str) -> asyncio.Lock:
        """Return the lock of a container. Hold it to change the network in its row, and its secrets."""
        return self._locks.setdefault(container_id, asyncio.Lock())

    def used(self, container_id: str) -> tuple[Sequence[Destination], int]:
        """Return what a container used and was refused in this process, and how much is left out."""
        found = self._known.get(container_id)
        if found is None:
            return (), 0
        use = found.broker.used()
        return destinations(use, found.broker.serving()), use.omitted

    def sent(self, container_id: str) -> int:
        """Return the bytes that a container's programs have sent in this process; open connections count."""
        found = self._known.get(container_id)
        if found is None:
            return 0
        return found.broker.used().sent + sum(each.sent for each in found.broker.serving())

    def take_used(self, container_id: str, response_id: str) -> Sequence[Destination]:
        """Return what the connections of a turn have used that ended so far, once."""
        found = self._known.get(container_id)
        return destinations(found.take_used(response_id), ()) if found is not None else ()

    def take_refusals(self, container_id: str) -> Sequence[str]:
        """Return a line for each destination that a container was refused since the last call."""
        found = self._known.get(container_id)
        return found.take_refusals() if found is not None else ()

    async def new(self, asked: NetworkPolicy | None, secrets: Secrets, backend: Backend) -> ContainerNetwork:
        """Return the network of a new container whose request has this policy and these secrets.

        Raises `InvalidRequest` if the operator or the backend does not allow it.
        """
        within = None if asked is None else await self.bound.narrowed(asked)
        if within is not None:
            check_domains(secrets, within, f"{FIELD}.{SECRETS}")
            check_readable(within)
        network = ContainerNetwork.new(within, await self.bound.known(), secrets)
        if network.ports is None or backend.capabilities().network:
            return network
        if not network.policy.rules and not network.policy.asks:
            return ContainerNetwork()
        raise InvalidRequest(
            f"The {backend.name} sandbox cannot have a network.",
            hint="Leave network_policy out.",
            param=FIELD,
        )

    async def changing(
        self, row: ContainerRow, policy: Mapping[str, Any], *, again: bool = False
    ) -> NetworkChange | None:
        """Return what a request's `network_policy` changes in a container; None if nothing. Hold its lock.

        `again`: a request repeats its policy. One that asks then keeps the hosts that were allowed since.
        Raises `InvalidRequest`.
        """
        before = kept(row.network)
        earlier = self.secrets.known(row.id, before.secrets)
        asked = read_policy(policy)
        secrets = read_secrets(policy.get(SECRETS), asked, f"{FIELD}.{SECRETS}", earlier)
        within = await self.bound.narrowed(asked)
        check_domains(secrets, within, f"{FIELD}.{SECRETS}")
        check_readable(within)
        if again and keeps_answers(within, before.policy):
            within = before.policy
        network = before.changed(within, secrets)
        if network.as_json() == row.network and secrets == earlier:
            return None
        more = set(network.ports or ()) - set(before.ports or ())
        reads = network.reads(await self.bound.known())
        return NetworkChange(network, earlier, secrets, tuple(sorted(more)), reads)

    async def apply(self, container_id: str, change: NetworkChange, channel: Channel | None) -> None:
        """Apply a change that the row has already. `channel` leads into the container, if it is open."""
        self.secrets.put(container_id, change.secrets)
        secrets, reads = change.network.secrets, change.reads
        if channel is not None:
            await self.secrets.change(container_id, change.earlier, secrets, channel, reads=reads)
        self.change(container_id, change.network.policy, secrets, reads=reads)

    def change(
        self, container_id: str, policy: NetworkPolicy, secrets: Secrets = (), *, reads: bool = False
    ) -> None:
        """Apply a container's new policy: open connections that it does not allow are closed.

        So are those to hosts with a secret, if the secrets have changed.
        """
        if (found := self._known.get(container_id)) is not None:
            self.secrets.apply(container_id, secrets, found.broker, reads=reads)
            found.change(policy)

    async def attached(self, backend: Backend, ref: SandboxRef, row: ContainerRow) -> Channel:
        """Open a channel to a container's sandbox, which decides about its connections while it is open.

        With secrets or read-only hosts the sandbox gets a new certificate authority. Raises as
        `Channel.open`.
        """
        channel = await Channel.open(await backend.stream(ref), self.access(row).egress)
        try:
            await self.equip(row, channel)
        except BaseException:
            await channel.aclose()
            raise
        return channel

    async def equip(self, row: ContainerRow, channel: Channel) -> None:
        """Give a container's sandbox what its secrets and read-only hosts need."""
        bound = await self.bound.known()
        network = kept(row.network).within(bound)
        await self.secrets.equip(row.id, network.secrets, channel, reads=network.reads(bound))

    async def take_over(self, row: ContainerRow, asked: str, channel: Channel) -> None:
        """Let a container's network decide about an open sandbox. `asked` was the container's id before."""
        self.secrets.rename(asked, row.id)
        channel.decide_by(self.access(row).egress)
        await self.equip(row, channel)

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
        """Forget a container that is gone, and its secrets."""
        self._known.pop(container_id, None)
        self.secrets.forget(container_id)
