"""What the front end of a notebook may ask of containers besides turns: part of the contract of a runtime.

Both protocols are optional: a server of the API offers neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from openai.types.containers import FileCreateResponse


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
