"""The kept sessions of one tenant; see `runtime.kept.KeepsSessions`."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from agent_kernel.errors import InvalidRequest, LimitReached, NotFound
from agent_kernel.protocol import ids
from agent_kernel.protocol.wellformed import DEEPEST, well_formed
from agent_kernel.runtime.kept import LARGEST_STATE, LONGEST_NAME, MOST_RESPONSES, KeptSession
from agent_kernel.store.records import SessionRow
from agent_kernel.store.rows import Rows


class LocalKeptSessions:
    """Sessions in `rows`, `most` of them at most."""

    def __init__(self, rows: Rows, most: int) -> None:
        self._rows = rows
        self._most = most

    async def keep_session(self, session: KeptSession) -> KeptSession:
        """See `KeepsSessions`."""
        now, (given, state) = time.time(), _checked(session)
        if session.id:
            return await self._replaced(given, state, now)
        await self._check_references(given, None)
        tenant, new = self._rows.tenant or "", replace(given, id=ids.session_id())
        row = _row(new, state, now, now, tenant, revision=1)
        if not await self._rows.add_session(row, self._most):
            raise LimitReached(
                f"This key can keep {self._most:,} sessions, and has as many.",
                hint="Forget one that you no longer need: %session forget NAME",
                code="sessions_limit_reached",
            )
        return shown_session(row)

    async def _replaced(self, given: KeptSession, state: str, now: float) -> KeptSession:
        before = await self._rows.session(given.id)
        if before is None:
            raise _no_session(given.id)
        if before.revision != given.revision:
            raise _changed(given.id)
        await self._check_references(given, before)
        row = _row(given, state, before.created_at, now, before.tenant, revision=before.revision + 1)
        if not await self._rows.replace_session(row, before.revision):
            if await self._rows.session(given.id) is None:
                raise _no_session(given.id)
            raise _changed(given.id)
        return shown_session(row)

    async def kept_sessions(self) -> Sequence[KeptSession]:
        """See `KeepsSessions`."""
        return [shown_session(row) for row in await self._rows.sessions()]

    async def kept_session(self, session_id: str, *, state: bool = True) -> KeptSession:
        """See `KeepsSessions`."""
        row = await self._rows.session(session_id)
        if row is None:
            raise _no_session(session_id)
        if not state:
            return shown_session(replace(row, state=""))
        interrupted = await self._rows.interrupted_turn(session_id)
        return replace(shown_session(row), interrupted=interrupted)

    async def forget_session(self, session_id: str) -> None:
        """See `KeepsSessions`."""
        if not await self._rows.delete_session(session_id):
            raise _no_session(session_id)

    async def _check_references(self, given: KeptSession, before: SessionRow | None) -> None:
        """Refuse what is new and unknown; what was kept already may have been deleted meanwhile."""
        known = {before.response_id, *before.responses} if before is not None else set()
        for id_ in {given.response_id, *given.responses} - known - {None}:
            if id_ is not None and await self._rows.response(id_) is None:
                raise NotFound(f"There is no response {id_!r}.", param="response_id")
        container_id = given.container_id
        if container_id is None or (before is not None and before.container_id == container_id):
            return
        if await self._rows.container(container_id) is None:
            raise NotFound(f"There is no container {container_id!r}.", param="container_id")


def shown_session(row: SessionRow) -> KeptSession:
    """Return a session as clients see it."""
    state: dict[str, Any] = json.loads(row.state) if row.state else {}
    return KeptSession(
        id=row.id, name=row.name, created_at=int(row.created_at), updated_at=int(row.updated_at),
        response_id=row.response_id, container_id=row.container_id, state=state, notebook=row.notebook,
        responses=row.responses, revision=row.revision,
    )  # fmt: skip


def _row(
    given: KeptSession, state: str, created_at: float, now: float, tenant: str, *, revision: int
) -> SessionRow:
    return SessionRow(
        given.id, given.name, created_at, now, given.response_id, given.container_id, given.notebook,
        state, revision, tenant, tuple(sorted({*given.responses})),
    )  # fmt: skip


def _checked(given: KeptSession) -> tuple[KeptSession, str]:
    """Return it with text that can be stored, and its state as JSON. Raises `InvalidRequest`."""
    for name in ("name", "notebook"):
        text = well_formed(getattr(given, name))
        if len(text) > LONGEST_TEXT[name] or not text.isprintable():
            raise InvalidRequest(
                f"{name} must be a string of at most {LONGEST_TEXT[name]:,} characters, without control"
                " characters.",
                param=name,
            )
    if len(given.responses) > MOST_RESPONSES:
        raise InvalidRequest(f"responses may have at most {MOST_RESPONSES} entries.", param="responses")
    state, size = _as_json(given.state)
    if size > LARGEST_STATE:
        raise InvalidRequest(
            f"state has {size:,} bytes of JSON; {LARGEST_STATE:,} are allowed.", param="state"
        )
    return replace(given, name=well_formed(given.name), notebook=well_formed(given.notebook)), state


LONGEST_TEXT = {"name": LONGEST_NAME, "notebook": 4096}
"""Characters."""


def _as_json(state: Mapping[str, Any]) -> tuple[str, int]:
    """Return a state as JSON, and its size in bytes."""
    _check_depth(state)
    try:
        text = _dumped(state)
        try:
            return text, len(text.encode())
        except UnicodeEncodeError:  # half of a surrogate pair
            text = _dumped(well_formed(dict(state)))
            return text, len(text.encode())
    except (TypeError, ValueError) as error:
        raise InvalidRequest(f"state must be a JSON object: {error}.", param="state") from None


def _dumped(state: object) -> str:
    return json.dumps(state, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _check_depth(value: Mapping[str, Any] | Sequence[Any], depth: int = 0) -> None:
    if depth > DEEPEST:
        raise InvalidRequest(f"state is nested deeper than {DEEPEST} levels.", param="state")
    for each in value.values() if isinstance(value, Mapping) else value:
        if isinstance(each, (dict, list, tuple)):  # all that JSON can nest
            _check_depth(each, depth + 1)


def _no_session(session_id: str) -> NotFound:
    return NotFound(f"There is no kept session {session_id[:100]!r}.", param="session_id")


def _changed(session_id: str) -> InvalidRequest:
    return InvalidRequest(
        f"The session {session_id} was kept by another client meanwhile.",
        hint="Get it again, and keep it with the revision that it has now.",
        param="revision",
        code="session_changed",
    )
