"""The contract for the network of containers: part of the contract of a runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from openai.types import ContainerCreateResponse

DISABLED: Mapping[str, Any] = {"type": "disabled"}
"""The API's `network_policy` of a container without a network."""


@dataclass(frozen=True)
class Destination:
    """What a container's programs did with one destination. Sizes in bytes.

    `connections` counts those that were made, `refused` those that were not; `reason` says why the newest of
    these was refused. `sent` went out of the container, `received` came in. `open` connections have not
    ended, or wait for an answer. `command` is what ran with the newest connection, shortened, if it is known.
    """

    name: str
    port: int
    connections: int = 0
    refused: int = 0
    sent: int = 0
    received: int = 0
    reason: str = ""
    open: int = 0
    command: str = ""


@dataclass(frozen=True)
class NetworkReport:
    """The network of one container. `policy` and `operator` are written as the API's `network_policy`.

    `operator` is the most that `policy` may allow. `destinations` are those of connections since the runtime
    started. `omitted` counts connections to destinations beyond those that it remembers.
    """

    policy: Mapping[str, Any]
    operator: Mapping[str, Any]
    destinations: Sequence[Destination] = ()
    omitted: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return it as the server answers it."""
        return {**asdict(self), "destinations": [asdict(each) for each in self.destinations]}

    @classmethod
    def of_json(cls, given: Mapping[str, Any]) -> NetworkReport:
        """Return the report in a server's answer. Fields that it does not know are left out."""
        names = [each.name for each in fields(Destination)]
        found = [{name: each[name] for name in names if name in each} for each in given["destinations"]]
        made = tuple(Destination(**each) for each in found)
        return cls(given["policy"], given["operator"], made, int(given.get("omitted") or 0))


@runtime_checkable
class NetworkedContainers(Protocol):
    """Optional for `Containers`: shows and changes the network policy of containers.

    Methods raise `NotFound` for an unknown container.
    """

    async def network_bound(self) -> Mapping[str, Any]:
        """Return the operator's policy, the most that a container may have, as a `network_policy`.

        From a server without this extension: `disabled`.
        """
        ...

    async def network(self, container_id: str) -> NetworkReport:
        """Return a container's policy, and what its programs used and were refused."""
        ...

    async def set_network(self, container_id: str, policy: Mapping[str, Any]) -> ContainerCreateResponse:
        """Replace a container's `network_policy` and return the container.

        Connections that the new policy does not allow are closed. Raises `InvalidRequest` for a malformed
        policy, one that allows more than the operator's, and one that needs a port for which the container
        was not created.
        """
        ...


@runtime_checkable
class AnswersQuestions(Protocol):
    """Optional for a `Runtime`: takes answers to the questions of a turn while it runs.

    A request with `agent_kernel.answers` gets questions about the network as `mcp_approval_request` items
    named `network`. Each ends with an `mcp_approval_response` item in the same response.
    """

    async def answer(self, response_id: str, given: Mapping[str, Any]) -> None:
        """Answer a question of a running response with an `mcp_approval_response`.

        `agent_kernel.scope` is `once` (the default) or `container`. Raises `InvalidRequest` for a malformed
        answer and for a question that is not open; `NotFound` where the server does not offer this.
        """
        ...
