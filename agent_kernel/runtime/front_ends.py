"""What the front end of a notebook may ask of containers besides turns: part of the contract of a runtime.

All are optional: a server of the API offers neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from openai.types.containers import FileCreateResponse

    from agent_kernel.protocol.desktop.watching import WatchedScreen


@runtime_checkable
class ListsAllFiles(Protocol):
    """Optional for `ContainerFiles`: one answer instead of hundreds of pages."""

    async def all(self, container_id: str) -> tuple[Sequence[FileCreateResponse], bool]:
        """Return the files below `/mnt/data`, newest first, and whether these are all.

        A sandbox names 20,000 at most. Errors as in `ContainerFiles`.
        """
        ...


class TerminalEnd(Protocol):
    """How the shell in a terminal ended."""

    @property
    def code(self) -> int:
        """The exit code, or 128 + n if signal n ended it."""
        ...


class ContainerTerminal(Protocol):
    """A shell of the user's on a pseudo-terminal. Raises `SandboxGone`, `SandboxUnreachable`."""

    async def read(self) -> bytes | TerminalEnd:
        """Return what the terminal shows next, control sequences included, or how its shell ended."""
        ...

    async def write(self, typed: bytes) -> None:
        """Type something; waits while the shell does not read."""
        ...

    async def resize(self, rows: int, columns: int) -> None:
        """Resize the window."""
        ...


@runtime_checkable
class OpensTerminals(Protocol):
    """Optional for `Containers`."""

    def terminal(
        self, container_id: str, rows: int, columns: int
    ) -> AbstractAsyncContextManager[ContainerTerminal]:
        """Open a terminal, apart from the agent's shell. Leaving it hangs up. Errors as in `ContainerFiles`.

        The container neither pauses nor expires meanwhile.
        """
        ...


@runtime_checkable
class OpensDesktops(Protocol):
    """Optional for `Containers`."""

    def desktop(self, container_id: str, place: str) -> AbstractAsyncContextManager[WatchedScreen]:
        """Watch the desktop of a container, which is not started for it. Leaving it hands the desktop back.

        One at a time watches at a `place`, such as a notebook's live view; others wait. The container neither
        pauses nor expires meanwhile. Errors as in `ContainerFiles`; `NotFound` without a tool that has one.
        """
        ...
