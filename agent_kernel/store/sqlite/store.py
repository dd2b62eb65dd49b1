"""The store in one SQLite file in WAL mode: each part of it is a module of its own, over one `database`."""

from __future__ import annotations

from agent_kernel.store.sqlite.approvals import SqliteApprovals
from agent_kernel.store.sqlite.containers import SqliteContainers
from agent_kernel.store.sqlite.files import SqliteFiles
from agent_kernel.store.sqlite.keys import SqliteKeys
from agent_kernel.store.sqlite.responses import SqliteResponses
from agent_kernel.store.sqlite.skills import SqliteSkills


class SqliteStore(SqliteResponses, SqliteContainers, SqliteSkills, SqliteFiles, SqliteApprovals, SqliteKeys):
    """The store in one file; see `store.Store` for what it does, and `database` for how."""
