"""Kept sessions of a remote server, over its extension endpoints."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from openai import AsyncOpenAI

from agent_kernel.errors import CapabilityMissing, NotFound, UpstreamInterrupted
from agent_kernel.runtime.deleting import DeletedSession
from agent_kernel.runtime.kept import MOST_RESPONSES, KeptSession
from agent_kernel.runtime.remote.errors import address, translated
from agent_kernel.runtime.remote.snapshots import checked_id

MOST_LISTED = 10_000
"""Lines about a deletion that are read."""

_WHERE = "/agent_kernel/sessions"
_SENT = ("id", "name", "response_id", "container_id", "state", "notebook", "responses", "revision")


class RemoteKeptSessions:
    """`/v1/agent_kernel/sessions` of a server."""

    def __init__(self, client: AsyncOpenAI) -> None:
        self._client = client

    async def keep_session(self, session: KeptSession) -> KeptSession:
        """See `KeepsSessions`."""
        body = {name: value for name, value in session.to_json().items() if name in _SENT and value}
        async with self._offered():
            return _session(await self._client.post(_WHERE, body=body, cast_to=_OBJECT))

    async def kept_sessions(self) -> Sequence[KeptSession]:
        """See `KeepsSessions`."""
        async with self._offered():
            data = (await self._client.get(_WHERE, cast_to=_OBJECT)).get("data")
            return [_session(each) for each in data] if isinstance(data, list) else []

    async def kept_session(self, session_id: str, *, state: bool = True) -> KeptSession:
        """See `KeepsSessions`."""
        async with self._offered():
            query = "" if state else "?state=false"
            where = f"{_WHERE}/{checked_id(session_id, 'session_id')}{query}"
            return _session(await self._client.get(where, cast_to=_OBJECT))

    async def forget_session(self, session_id: str) -> None:
        """See `KeepsSessions`."""
        async with self._offered():
            where = f"{_WHERE}/{checked_id(session_id, 'session_id')}"
            await self._client.delete(where, cast_to=_OBJECT)

    async def delete_session(self, session_id: str) -> DeletedSession:
        """See `DeletesSessions`."""
        async with self._offered():
            where = f"{_WHERE}/{checked_id(session_id, 'session_id')}/everything"
            found = await self._client.delete(where, cast_to=_OBJECT)
            lists = [_listed(found.get(name)) for name in ("removed", "shared", "remains")]
            return DeletedSession(session_id, *lists)

    @asynccontextmanager
    async def _offered(self) -> AsyncGenerator[None, None]:
        """Translate errors. A server without these endpoints raises `CapabilityMissing`."""
        try:
            async with translated(self._client):
                yield
        except NotFound as error:
            if error.param is not None:  # the session, or what it names
                raise
            raise CapabilityMissing(
                f"The server at {address(self._client)} keeps no sessions.",
                hint="Use an agent-kernel server of this release, or a local runtime.",
            ) from error


_OBJECT: Any = dict[str, Any]


def _session(given: Any) -> KeptSession:
    match given:
        case {
            "id": str(id),
            "name": str(name),
            "created_at": int(created_at),
            "updated_at": int(updated_at),
            "revision": int(revision),
        }:
            state, responses = given.get("state"), given.get("responses")
            return KeptSession(
                id, name, created_at, updated_at,
                response_id=_text(given.get("response_id")),
                container_id=_text(given.get("container_id")),
                state=state if isinstance(state, Mapping) else {},
                notebook=_text(given.get("notebook")) or "",
                responses=_texts(responses),
                revision=revision,
                interrupted=_text(given.get("interrupted")),
            )  # fmt: skip
    raise UpstreamInterrupted("The server's answer about a kept session cannot be read.")


def _listed(given: object) -> Sequence[str]:
    return [str(each)[:1000] for each in given[:MOST_LISTED]] if isinstance(given, list) else []


def _text(given: object) -> str | None:
    return given if isinstance(given, str) else None


def _texts(given: object) -> Sequence[str]:
    found = given[:MOST_RESPONSES] if isinstance(given, list) else []
    return tuple(each for each in found if isinstance(each, str))
