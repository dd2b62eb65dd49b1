"""The context of a running call: its output, sandbox, audit log and metrics."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from agent_kernel.protocol.calls import OutputDraft
    from agent_kernel.sandboxes.channel import Channel
    from agent_kernel.tools.document_search.search import DocumentSearch


class WriteAudit(Protocol):
    """A function that appends a line to the audit log."""

    def __call__(self, event: str, **fields: Any) -> None:
        """Write `event`. The line names response, call and container; None fields are left out."""
        ...


class Count(Protocol):
    """A function that increments a counter of the metrics."""

    def __call__(self, name: str, **labels: str) -> None:
        """Count `name`, one of `runtime.observe.metrics.COUNTERS`."""
        ...


@dataclass(frozen=True)
class LostCall:
    """A call of a dead process. `draft` is its open output; None if it had none and may not have begun."""

    call: Mapping[str, Any]
    name: str
    draft: OutputDraft | None


@dataclass(frozen=True)
class RejoinedCall:
    """A call to resume. `begun`: it has run before, so it is not judged or counted again."""

    begun: bool
    state: Any


def _ignore(part: int, line: str) -> None:
    """Drop a line: no model reads it."""


def _nothing(path: str) -> None:
    """Cite nothing: no message follows."""


async def _anywhere(url: str) -> None:
    """Refuse nothing."""


@dataclass(frozen=True)
class ToolContext:
    """The context of one call."""

    emit: Callable[[Any], Awaitable[None]]
    """Send a piece of the output, and wait while the client does not read. Pieces are sent in order."""
    sandbox: Callable[[], AbstractAsyncContextManager[Channel]]
    """Open the turn's container. Raises `SandboxGone`, `SandboxUnreachable`; `RuntimeError` without one."""
    audit: WriteAudit
    count: Count
    refusals: Callable[[], Sequence[str]] = tuple
    """Return a line for each destination that the sandbox was refused since the last call."""
    tell: Callable[[int, str], None] = _ignore
    """Tell the model, and only the model, a line about part number n of the output; for this turn only."""
    cite: Callable[[str], None] = _nothing
    """Cite a picture, by its path in the container, in the next message of the turn."""
    spec: Mapping[str, Any] = field(default_factory=dict)
    """The tool's entry in the request's `tools`."""
    limits: Any = None
    """The operator's limits for this tool, in the tool's own type. None: its defaults."""
    name: str = ""
    """Name of the call, unique in the sandbox. Another process can find there what the call began."""
    tools: Sequence[Any] = ()
    """The entries of all tools of the turn; see `tools.base.ToolEntry`."""
    private: Any = None
    """What the tool keeps in its entry; see `ToolEntry.private`."""
    servers: Any = None
    """The turn's connections to MCP servers; see `tools.mcp.servers`."""
    rejoin: Any = None
    """The state that `Tool.rejoin` returned, for a call that ran when its process died."""
    connect_refusal: Callable[[str], Awaitable[str | None]] = _anywhere
    """Return why the turn may not read what is at an address, as a sentence; None if it may."""
    documents: DocumentSearch | None = None
    """The tenant's vector stores; None: this server has none."""
    earlier: Sequence[Mapping[str, Any]] = ()
    """The conversation before the call."""
    approved: bool = False
    """Whether a person has approved the call."""
    note: str | None = None
    """A line for the end of the output, which tells the model that the user changed the call."""
