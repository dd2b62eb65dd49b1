"""What a running call may use."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from agent_kernel.protocol.calls import OutputDraft
    from agent_kernel.sandboxes.channel import Channel


class WriteAudit(Protocol):
    """Appends a line to the audit log."""

    def __call__(self, event: str, **fields: Any) -> None:
        """Write `event`. The line names response, call and container; None fields are left out."""
        ...


class Count(Protocol):
    """Adds one to a counter of the metrics."""

    def __call__(self, name: str, **labels: str) -> None:
        """Count `name`, one of `runtime.observe.metrics.COUNTERS`."""
        ...


@dataclass(frozen=True)
class LostCall:
    """A call of a dead process. `draft` is its open output; None if it had none, so it may not have begun."""

    call: Mapping[str, Any]
    name: str
    draft: OutputDraft | None


@dataclass(frozen=True)
class RejoinedCall:
    """How a call goes on. `begun`: it has run for a while, so it is not judged or counted again."""

    begun: bool
    state: Any


@dataclass(frozen=True)
class ToolContext:
    """Of one call."""

    emit: Callable[[Any], Awaitable[None]]
    """Send out a piece of the output, and wait while the client does not read. Pieces go out in order."""
    sandbox: Callable[[], AbstractAsyncContextManager[Channel]]
    """Open the turn's container. Raises `SandboxGone`, `SandboxUnreachable`; `RuntimeError` without one."""
    audit: WriteAudit
    count: Count
    spec: Mapping[str, Any] = field(default_factory=dict)
    """The tool's entry in the request's `tools`."""
    limits: Any = None
    """The operator's limits of this tool, of the tool's own type; None: its defaults."""
    name: str = ""
    """Of the call, unique in the sandbox: another process can find there what the call began."""
    rejoin: Any = None
    """What `Tool.rejoin` has returned, for a call whose process died while it ran."""
    note: str | None = None
    """A line that the output must end with: a person changed the call, and the model has to know."""
