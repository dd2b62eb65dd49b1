"""The secrets and the certificate authorities of a runtime's containers: each broker gets its container's.

A container has an authority if it has secrets, or if `reads`: its policy limits hosts to reading.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING

from agent_kernel.egress.broker import Broker
from agent_kernel.egress.secret_hosts import SecretHosts, UnreadableHosts
from agent_kernel.egress.tls.secrets import DomainSecret
from agent_kernel.errors import CapabilityMissing, SandboxFileError
from agent_kernel.runtime.network import inside
from agent_kernel.runtime.network.secrets import Vault, can_be_read, without_values
from agent_kernel.sandboxes.channel import Channel

if TYPE_CHECKING:
    from agent_kernel.egress.tls.authority import Authority

log = logging.getLogger(__name__)

Secrets = tuple[DomainSecret, ...]


class NetworkSecrets:
    """The secrets of the containers of one process. `trust` makes the context that verifies servers."""

    def __init__(self, trust: Callable[[], ssl.SSLContext]) -> None:
        self._trust = trust
        self._vault = Vault()
        self._authorities: dict[str, Authority] = {}
        self._applied: dict[str, tuple[Secrets, Authority | None] | None] = {}

    def put(self, container_id: str, secrets: Secrets) -> None:
        """Keep the values of a container's secrets in memory, in place of all earlier ones."""
        self._vault.put(container_id, secrets)

    def known(self, container_id: str, declared: Secrets) -> Secrets:
        """Return a container's secrets with the values that this process knows."""
        return self._vault.filled(container_id, declared)

    def rename(self, old: str, new: str) -> None:
        """Keep a container's values under its new id."""
        self._vault.move(old, new)

    def forget(self, container_id: str) -> None:
        """Forget a container's values and its certificate authority."""
        self._vault.forget(container_id)
        self._authorities.pop(container_id, None)
        self._applied.pop(container_id, None)

    def apply(self, container_id: str, declared: Secrets, broker: Broker, *, reads: bool) -> None:
        """Let a container's broker use its secrets. Where they have changed, its connections end."""
        if not declared and not reads and self._applied.get(container_id) is None:  # most often
            return
        secrets = self.known(container_id, declared)
        now = (secrets, self._authorities.get(container_id)) if secrets or reads else None
        if now == self._applied.get(container_id):
            return
        self._applied[container_id] = now
        broker.termination = None if now is None else self._hosts(container_id, secrets)

    async def equip(self, container_id: str, declared: Secrets, channel: Channel, *, reads: bool) -> None:
        """Give a sandbox the variables of its secrets and a new certificate authority, if it needs them.

        A sandbox that cannot take them works without: connections whose TLS is read fail then.
        """
        if not (declared or reads) or not can_be_read():
            return
        from agent_kernel.egress.tls.authority import Authority

        authority = self._authorities[container_id] = Authority()
        try:
            await inside.equip(channel, declared, authority)
        except (SandboxFileError, CapabilityMissing) as error:
            log.warning("Container %s did not get its certificate authority: %s", container_id, error)

    async def change(
        self, container_id: str, earlier: Secrets, now: Secrets, channel: Channel, *, reads: bool
    ) -> None:
        """Give a sandbox the variables of other secrets. Errors as in `equip`."""
        needed = bool(now) or reads
        if not (needed or earlier or container_id in self._authorities):
            return
        try:
            await inside.change(channel, earlier, now, trusts=needed)
        except CapabilityMissing as error:
            log.warning("Container %s keeps the variables of its secrets: %s", container_id, error)
        if not needed:
            self._authorities.pop(container_id, None)
        elif now != without_values(earlier) or container_id not in self._authorities:
            await self.equip(container_id, now, channel, reads=reads)

    def _hosts(self, container_id: str, secrets: Secrets) -> SecretHosts:
        if not can_be_read():
            return UnreadableHosts(each.domain for each in secrets)
        from agent_kernel.egress.tls.authority import Authority
        from agent_kernel.egress.tls.termination import Termination

        authority = self._authorities.get(container_id) or Authority()  # no sandbox trusts a new one
        return Termination(secrets, authority, self._trust)
