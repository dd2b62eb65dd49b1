"""API keys of a server: create, find and revoke them.

A key is `ak-ID-SECRET`. The ID finds its row and is not secret. The SECRET has 256 random bits, so a plain
SHA-256 of the key is as good as a slow hash, and only that is stored. The rows are in the store, so a change
applies to every process immediately. Everything made with a key belongs to the key's name, so a new key of
the same name owns it again.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import time

from agent_kernel.errors import InvalidRequest, NotFound
from agent_kernel.keys import Key, KeyLimits
from agent_kernel.store.records import KeyRow
from agent_kernel.store.rows import KeyRows

PREFIX = "ak"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)


class StoredKeys:
    """The keys of one store."""

    def __init__(self, store: KeyRows) -> None:
        self._store = store
        self._exist = False

    async def create(self, name: str, limits: KeyLimits) -> str:
        """Create a key and return it; it cannot be shown again. Raises `InvalidRequest`."""
        if not _NAME.fullmatch(name):
            raise InvalidRequest(
                f"{name!r} cannot be the name of a key.",
                hint="Use up to 64 letters, digits, dots, hyphens and underscores, a letter or digit first.",
            )
        id = secrets.token_hex(6)  # noqa: A001
        key = f"{PREFIX}-{id}-{secrets.token_urlsafe(32)}"
        if not await self._store.add_key(KeyRow(name, id, _hash(key), time.time(), None, limits)):
            raise InvalidRequest(
                f"A key named {name!r} exists already.", hint=f"Revoke it: agent-kernel keys revoke {name}"
            )
        return key

    async def revoke(self, name: str) -> None:
        """Refuse this key from now on, in every process. Raises `NotFound`."""
        if not await self._store.revoke_key(name, time.time()):
            raise NotFound(f"No key is named {name!r}.", hint="See: agent-kernel keys list")

    async def all(self) -> list[KeyRow]:
        """Return every key by name, including revoked ones."""
        return await self._store.keys()

    async def exist(self) -> bool:
        """See `keys.Keys`."""
        if not self._exist:  # keys are revoked, never removed
            self._exist = bool(await self._store.keys())
        return self._exist

    async def find(self, secret: str) -> Key | None:
        """See `keys.Keys`."""
        prefix, _, rest = secret.partition("-")
        row = await self._store.key(rest.partition("-")[0]) if prefix == PREFIX else None
        if row is None or not secrets.compare_digest(_hash(secret), row.hash) or row.revoked_at is not None:
            return None
        return Key(row.name, row.limits)


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
