"""A store whose rows are in the memory of this process, shared by all that name the same URL."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from agent_kernel.store.base import Store
from agent_kernel.store.folder.blobs import FolderBlobs
from agent_kernel.store.folder.coordination import FolderCoordination
from agent_kernel.store.records import (
    ContainerRow,
    FileRow,
    Finish,
    JournalEntry,
    Json,
    KeyRow,
    ResponseRow,
    SkillNote,
    Unfinished,
)

from .kept_skills import ToySkills
from .memory import Memory, Talk
from .traces import ToyTraces

LIVE = ("creating", "running", "restoring")


def copied(value: Any) -> Any:
    return json.loads(json.dumps(value))


class ToyRows(ToySkills, ToyTraces):
    def of(self, tenant: str) -> ToyRows:
        return ToyRows(self._memory, tenant)

    def version(self) -> int | None:
        return None

    async def identity(self) -> str:
        return self._memory.identity

    async def claim_sandboxes(self, place: str) -> str:
        self._memory.place = self._memory.place or place
        return self._memory.place

    async def aclose(self) -> None: ...

    # -- responses

    def _response(self, id_: str | None) -> ResponseRow | None:
        tenant, row = self._memory.responses.get(id_ or "", ("", None))
        return row if self._sees(tenant) else None

    async def put_response(self, row: ResponseRow) -> None:
        tenant = self._memory.responses.get(row.id, (self.tenant or "", None))[0]
        kept = replace(row, input=copied(row.input), response=copied(row.response))
        self._memory.responses[row.id] = (tenant, kept)

    async def response(self, id: str) -> ResponseRow | None:  # noqa: A002
        return self._response(id)

    async def chain(self, id: str) -> list[ResponseRow]:  # noqa: A002
        found, row = list[ResponseRow](), self._response(id)
        while row is not None:
            found.insert(0, row)
            row = self._response(row.previous_id)
        return found

    def _drop(self, ids: Sequence[str]) -> None:
        for id_ in ids:
            del self._memory.responses[id_]
            self._memory.journals.pop(id_, None)
        self._memory.items = {k: v for k, v in self._memory.items.items() if v not in ids}
        self._memory.deletions += bool(ids)

    async def delete_response(self, id: str) -> bool:  # noqa: A002
        if found := self._response(id):
            self._drop([id])
        return found is not None

    async def expire_responses(self, before: float) -> tuple[int, float | None]:
        rows = {id_: row for id_, (_, row) in self._memory.responses.items()}
        kept: set[str] = set()
        for row in rows.values():
            stays = row.created_at >= before or row.owner or row.id in self.referred()
            each: ResponseRow | None = row if stays else None
            while each is not None and each.id not in kept:
                kept.add(each.id)
                each = rows.get(each.previous_id or "")
        gone = [id_ for id_ in rows if id_ not in kept]
        self._drop(gone)
        later = [row.created_at for row in rows.values() if row.created_at >= before]
        return len(gone), min(later, default=None)

    async def deletions(self) -> int:
        return self._memory.deletions

    async def unfinished_responses(self) -> list[Unfinished]:
        return [
            Unfinished(row.id, row.created_at, row.model, row.owner)
            for tenant, row in self._memory.responses.values()
            if row.owner is not None and self._sees(tenant)
        ]

    async def write_off_response(self, id: str, owner: str, response: Json, last: JournalEntry) -> bool:  # noqa: A002
        row = self._response(id)
        if row is None or row.owner != owner:
            return False
        self._change(replace(row, status="incomplete", owner=None, response=copied(response)))
        self._memory.journals[id] = dict([last])
        return True

    def _change(self, row: ResponseRow) -> None:
        self._memory.responses[row.id] = (self._memory.responses[row.id][0], row)

    async def tenant_of_response(self, id: str) -> str:  # noqa: A002
        return self._memory.responses[id][0] if self._response(id) else ""

    async def adopt_response(self, id: str, was: str, owner: str) -> bool:  # noqa: A002
        row = self._response(id)
        if row is None or row.owner != was:
            return False
        self._change(replace(row, owner=owner))
        return True

    async def append_events(self, id: str, entries: Sequence[JournalEntry]) -> None:  # noqa: A002
        if id in self._memory.responses:
            self._memory.journals.setdefault(id, {}).update(entries)

    async def events(self, id: str, after: int, limit: int) -> list[JournalEntry]:  # noqa: A002
        journal = self._memory.journals.get(id, {}) if self._response(id) else {}
        return [each for each in sorted(journal.items()) if each[0] > after][:limit]

    async def finish_response(self, finish: Finish) -> None:
        row = finish.row
        if finish.keep_row and self._response(row.id):
            await self.put_response(row)
            tenant = self._memory.responses[row.id][0]
            for item in (*row.input, *row.response["output"]):
                if item.get("id"):
                    self._memory.items.setdefault((tenant, item["id"]), row.id)
            if finish.keep_events:
                await self.append_events(row.id, finish.events)
            else:
                self._memory.journals.pop(row.id, None)
        talk = self._talk(row.conversation_id or "")
        if talk is not None:
            self._say(talk, finish.said, row.status != "completed")
            talk.container_id = row.container_id or talk.container_id

    async def item(self, id: str) -> Json | None:  # noqa: A002
        for (tenant, item_id), response_id in self._memory.items.items():
            if item_id == id and self._sees(tenant):
                row = self._memory.responses[response_id][1]
                found: Json = next(
                    each for each in (*row.input, *row.response["output"]) if each.get("id") == id
                )
                return found
        for talk in self._memory.talks.values():
            if id in talk.items and self._sees(talk.tenant):
                return talk.items[id][0]
        return None

    # -- conversations

    def _talk(self, id_: str) -> Talk | None:
        talk = self._memory.talks.get(id_)
        return talk if talk is not None and self._sees(talk.tenant) else None

    @staticmethod
    def _say(talk: Talk, items: Sequence[Json], stopped: bool) -> None:
        for item in items:
            talk.items.pop(item["id"], None)
            talk.items[item["id"]] = (copied(item), stopped)

    async def put_conversation(self, id: str, created_at: float, metadata: Json) -> None:  # noqa: A002
        known = self._memory.talks.setdefault(id, Talk(self.tenant or "", created_at, metadata))
        known.metadata = metadata

    async def conversation(self, id: str) -> tuple[float, Json, str | None] | None:  # noqa: A002
        talk = self._talk(id)
        return (talk.created_at, talk.metadata, talk.container_id) if talk else None

    async def delete_conversation(self, id: str) -> bool:  # noqa: A002
        return self._talk(id) is not None and self._memory.talks.pop(id) is not None

    async def add_conversation_items(self, id: str, items: Sequence[Json]) -> None:  # noqa: A002
        talk = self._talk(id)
        if talk is not None:
            self._say(talk, items, stopped=False)

    async def conversation_items(self, id: str) -> list[tuple[Json, bool]]:  # noqa: A002
        talk = self._talk(id)
        return list(talk.items.values()) if talk else []

    async def delete_conversation_item(self, id: str, item_id: str) -> bool:  # noqa: A002
        talk = self._talk(id)
        self._bury(id, item_id, list(talk.items) if talk else [], self.tenant)
        return talk is not None and talk.items.pop(item_id, None) is not None

    # -- approvals

    async def claim_approvals(self, ids: Sequence[str], response_id: str) -> str | None:
        if answered := await self.answered_approvals(ids):
            return next(id_ for id_ in ids if id_ in answered)
        self._memory.approvals |= {(self.tenant or "", id_) for id_ in ids}
        return None

    async def answered_approvals(self, ids: Sequence[str]) -> set[str]:
        return {id_ for id_ in ids if (self.tenant or "", id_) in self._memory.approvals}

    # -- containers

    def _container(self, id_: str) -> ContainerRow | None:
        row = self._memory.containers.get(id_)
        return row if row is not None and self._sees(row.tenant) else None

    async def put_container(self, row: ContainerRow) -> None:
        known = self._memory.containers.get(row.id, row)
        self._memory.containers[row.id] = replace(row, created_at=known.created_at, tenant=known.tenant)

    async def container(self, id: str) -> ContainerRow | None:  # noqa: A002
        return self._container(id)

    async def containers(self) -> list[ContainerRow]:
        rows = [row for row in self._memory.containers.values() if self._sees(row.tenant)]
        return sorted(rows, key=lambda row: row.created_at)

    async def touch_container(self, id: str, when: float) -> ContainerRow | None:  # noqa: A002
        row = self._container(id)
        if row is not None and row.status == "running":
            row = replace(row, last_active_at=max(row.last_active_at, when))
            self._memory.containers[id] = row
        return row

    async def end_container(self, id: str, status: str, *, if_idle_at: float | None = None) -> bool:  # noqa: A002
        row = self._container(id)
        if row is None or row.status not in LIVE or (if_idle_at is not None and row.expires_at > if_idle_at):
            return False
        self._memory.containers[id] = replace(row, status=status)
        return True

    def _is_full(self, tenant: str, most: int | None) -> bool:
        live = [r for r in self._memory.containers.values() if r.tenant == tenant and r.status in LIVE]
        return most is not None and len(live) >= most

    async def change_container(
        self,
        id: str,  # noqa: A002
        was: str,
        status: str,
        when: float,
        *,
        most: int | None = None,
    ) -> bool:
        row = self._container(id)
        if row is None or row.status != was or self._is_full(row.tenant, most):
            return False
        self._memory.containers[id] = replace(row, status=status, last_active_at=when)
        return True

    async def add_container(self, row: ContainerRow, most: int | None) -> bool:
        if self._is_full(row.tenant, most):
            return False
        await self.put_container(row)
        return True

    async def rename_container(self, id: str, new: str) -> None:  # noqa: A002
        if row := self._container(id):
            del self._memory.containers[id]
            self._memory.containers[new] = replace(row, id=new)
            self._memory.skills[new] = self._memory.skills.pop(id, {})
            self._memory.uploads[new] = self._memory.uploads.pop(id, set())

    async def put_network(self, id: str, network: str) -> bool:  # noqa: A002
        if row := self._container(id):
            self._memory.containers[id] = replace(row, network=network)
        return row is not None

    async def replace_sandbox(self, id: str, was: str, sandbox: str, when: float) -> bool:  # noqa: A002
        row = self._container(id)
        if row is None or row.sandbox != was or row.status != "running":
            return False
        self._memory.containers[id] = replace(row, sandbox=sandbox, last_active_at=when)
        return True

    async def delete_container(self, id: str, *, sandbox: str | None = None) -> bool:  # noqa: A002
        row = self._container(id)
        if row is None or sandbox not in (None, row.sandbox):
            return False
        self._bury("containers", id, [each.id for each in await self.containers()], row.tenant)
        del self._memory.containers[id]
        for kept in (self._memory.uploads, self._memory.skills, self._memory.places):
            kept.pop(id, None)
        return True

    async def add_upload(self, container_id: str, path: str) -> None:
        if self._container(container_id):
            self._memory.uploads.setdefault(container_id, set()).add(path)

    async def remove_upload(self, container_id: str, path: str) -> None:
        if self._container(container_id):
            self._memory.uploads.get(container_id, set()).discard(path)

    async def uploads(self, container_id: str) -> set[str]:
        return set(self._memory.uploads.get(container_id, ())) if self._container(container_id) else set()

    async def put_skill(self, container_id: str, note: SkillNote) -> None:
        if self._container(container_id):
            self._memory.skills.setdefault(container_id, {})[note.name] = note

    async def remove_skill(self, container_id: str, name: str) -> None:
        if self._container(container_id):
            self._memory.skills.get(container_id, {}).pop(name, None)

    async def skills(self, container_id: str) -> list[SkillNote]:
        found = self._memory.skills.get(container_id, {}) if self._container(container_id) else {}
        return [found[name] for name in sorted(found)]

    # -- files and keys

    async def put_file(self, row: FileRow, most: int | None = None) -> bool:
        tenant = self.tenant or ""
        total = sum(each.bytes for owner, each in self._memory.files.values() if owner == tenant)
        if most is not None and total + row.bytes > most:
            return False
        self._memory.files[row.id] = (tenant, row)
        return True

    async def file(self, id: str) -> FileRow | None:  # noqa: A002
        tenant, row = self._memory.files.get(id, ("", None))
        return row if self._sees(tenant) else None

    async def files(self) -> list[FileRow]:
        rows = [row for tenant, row in self._memory.files.values() if self._sees(tenant)]
        return sorted(rows, key=lambda row: row.created_at)

    async def stored_bytes(self) -> int:
        return sum(row.bytes for row in await self.files())

    async def delete_file(self, id: str) -> bool:  # noqa: A002
        self._bury("files", id, [each.id for each in await self.files()], self.tenant)
        return await self.file(id) is not None and self._memory.files.pop(id) is not None

    def _bury(self, listed: str, id_: str, ids: list[str], tenant: str | None) -> None:
        if id_ in ids:
            self._memory.before[listed, id_] = (tenant or "", ["", *ids][ids.index(id_)])

    async def before(self, listed: str, id: str) -> str | None:  # noqa: A002
        tenant, earlier = self._memory.before.get((listed, id), ("", None))
        while earlier and (listed, earlier) in self._memory.before:
            earlier = self._memory.before[listed, earlier][1]
        return earlier if self._sees(tenant) else None

    async def put_place(self, container_id: str, file_id: str, place: str) -> None:
        if self._container(container_id):
            self._memory.places.setdefault(container_id, {})[file_id] = place

    async def place(self, container_id: str, file_id: str) -> str | None:
        places = self._memory.places.get(container_id, {}) if self._container(container_id) else {}
        return places.get(file_id)

    async def add_key(self, row: KeyRow) -> bool:
        if (known := self._memory.keys.get(row.name)) and known.revoked_at is None:
            return False
        self._memory.keys[row.name] = row
        return True

    async def key(self, id: str) -> KeyRow | None:  # noqa: A002
        return next((row for row in self._memory.keys.values() if row.id == id), None)

    async def keys(self) -> list[KeyRow]:
        return [self._memory.keys[name] for name in sorted(self._memory.keys)]

    async def revoke_key(self, name: str, when: float) -> bool:
        if not (row := self._memory.keys.get(name)) or row.revoked_at is not None:
            return False
        self._memory.keys[name] = replace(row, revoked_at=when)
        return True


MEMORIES: dict[str, Memory] = {}


def open_toy(url: str, folder: Path) -> Store:
    rows = ToyRows(MEMORIES.setdefault(url, Memory()))
    return Store(rows, FolderBlobs(folder / "files"), FolderCoordination(folder))
