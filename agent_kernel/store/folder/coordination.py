"""Coordination of processes of one machine, by file locks and Unix sockets in one folder."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

from agent_kernel.store.coordination import Died, FindTurn
from agent_kernel.store.folder.owner import Owner
from agent_kernel.store.folder.peers import Peers


class FolderCoordination:
    """See `Coordination`. All processes must name the same folder of one machine."""

    def __init__(self, folder: Path) -> None:
        owners = folder / "owners"
        self._owner = Owner(owners)
        self._peers = Peers(folder / "peers", owners, self._owner)

    @property
    def id(self) -> str:
        """See `Coordination`."""
        return self._owner.id

    async def join(self) -> None:
        """See `Coordination`."""
        self._owner.claim()

    async def is_alive(self, owner: str) -> bool:
        """See `Coordination`."""
        return self._owner.is_alive(owner)

    async def serve(self, find: FindTurn, died: Died | None = None) -> None:
        """See `Coordination`. The end of a process is noticed when its turns are asked for."""
        await self.join()
        await self._peers.start(find)

    async def has_successor(self) -> bool:
        """See `Coordination`."""
        return False

    async def news(self, owner: str, response_id: str) -> AsyncGenerator[None, None]:
        """See `Coordination`."""
        async with aclosing(self._peers.news(owner, response_id)) as news:
            async for _ in news:
                yield

    async def cancel(self, owner: str, response_id: str) -> None:
        """See `Coordination`."""
        await self._peers.cancel(owner, response_id)

    async def ask(self, owner: str, response_id: str, question: str) -> str:
        """See `Coordination`."""
        return await self._peers.question(owner, response_id, question)

    async def aclose(self) -> None:
        """See `Coordination`."""
        await self._peers.aclose()
        self._owner.release()
