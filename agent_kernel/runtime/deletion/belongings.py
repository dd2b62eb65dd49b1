"""What belongs to a kept session, and what others use too."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from agent_kernel.errors import InvalidRequest
from agent_kernel.runtime.containers.checkpoints import Checkpoints, container_of, tenant_of
from agent_kernel.runtime.containers.resources import shown
from agent_kernel.sandboxes.optional import Snapshot
from agent_kernel.store.records import ContainerRow, ResponseRow, SessionRow
from agent_kernel.store.rows import Rows

_FILE = re.compile(r"file-[0-9a-f]{32}")


@dataclass
class Belongings:
    """What is to be removed, and in `shared` what stays, in words."""

    session: SessionRow
    responses: list[ResponseRow] = field(default_factory=list)
    conversations: set[str] = field(default_factory=set)
    containers: list[ContainerRow] = field(default_factory=list)
    snapshots: list[Snapshot] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    shared: list[str] = field(default_factory=list)

    @property
    def ids(self) -> set[str]:
        """The ids of the session, its turns and their conversations."""
        return {self.session.id, *(row.id for row in self.responses)} | self.conversations


async def belongings_of(session: SessionRow, rows: Rows, checkpoints: Checkpoints) -> Belongings:
    """Return what belongs to a session. Raises `InvalidRequest` if a turn of it runs."""
    found = Belongings(session)
    others = [each for each in await rows.sessions() if each.id != session.id]
    await _turns(found, rows, others)
    await _containers(found, rows, others, checkpoints)
    await _files(found, rows)
    if session.notebook:
        found.shared.append(f"the notebook {session.notebook}: it is your own file")
    return found


async def _turns(found: Belongings, rows: Rows, others: Sequence[SessionRow]) -> None:
    session = found.session
    heads = {each for each in (session.response_id, *session.responses) if each is not None}
    if session.container_id is not None and not _used(session.container_id, others):
        heads |= {id_ for table, id_ in await rows.mentions(session.container_id) if table == "responses"}
    kept: dict[str, str] = {}
    for other in others:
        for head in filter(None, [other.response_id, *other.responses]):
            kept |= {row.id: other.id for row in await rows.chain(head)}
    for id_ in sorted(await rows.related_responses(heads)):
        row = await rows.response(id_)
        if row is None:
            continue
        if id_ in kept:
            found.shared.append(f"the response {id_}: the session {kept[id_]} continues it")
            continue
        if row.owner is not None:
            raise InvalidRequest(
                f"A turn of this session is still running: {row.id}.", hint="Wait for its end, or stop it."
            )
        found.responses.append(row)
        if row.conversation_id is not None:
            found.conversations.add(row.conversation_id)


def _used(container_id: str, others: Sequence[SessionRow]) -> str | None:
    """Return the id of another session that has this container."""
    return next((each.id for each in others if each.container_id == container_id), None)


async def _containers(
    found: Belongings, rows: Rows, others: Sequence[SessionRow], checkpoints: Checkpoints
) -> None:
    """Find the session's container, and earlier ones of its turns."""
    wanted = {row.container_id for row in found.responses} | {found.session.container_id}
    own: set[str] = set()
    for id_ in sorted(each for each in wanted if each is not None):
        users = {one for _, one in await rows.mentions(id_)} - found.ids
        user = _used(id_, others) or next(iter(sorted(users)), None)
        if user is not None:
            found.shared.append(f"the container {id_}: {user} uses it")
            continue
        own.add(id_)
        row = await rows.container(id_)
        if row is None:
            continue
        found.containers.append(row)
        if volume := shown(row.resources).get("volume"):
            found.shared.append(f"the volume {volume}: volumes stay until the operator removes them")
    if own:
        found.snapshots = [
            each
            for each in await checkpoints.all()
            if container_of(each) in own and rows.tenant in (None, tenant_of(each))
        ]


async def _files(found: Belongings, rows: Rows) -> None:
    """Find the uploaded files that only these turns name."""
    texts = [json.dumps([row.request, row.input, row.response]) for row in found.responses]
    for file_id in sorted({each for text in texts for each in _FILE.findall(text)}):
        if await rows.file(file_id) is None:
            continue
        users = {one for _, one in await rows.mentions(file_id)} - found.ids
        if users:
            found.shared.append(f"the uploaded file {file_id}: {min(users)} names it")
        else:
            found.files.append(file_id)
