"""The MCP servers of a notebook, and the entries of `tools` for them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from agent_kernel.errors import InvalidRequest

_LABEL = re.compile(r"[A-Za-z0-9_-]{1,64}")
MOST = 20


class NotebookServers:
    """The servers that `%mcp add` has added, by name."""

    def __init__(self) -> None:
        self._entries: dict[str, dict[str, Any]] = {}

    def add(self, name: str, words: Sequence[str]) -> None:
        """Add a server, or replace the one of this name: an address, or a command and its arguments.

        Raises `InvalidRequest`. Each call of a remote server's tool is asked about, because it acts outside
        the sandbox; a program in the container can do no more than a command there.
        """
        if not _LABEL.fullmatch(name) or name == "agent_kernel":
            raise InvalidRequest(
                f"{name!r} cannot be the name of a server.", hint="Use letters, digits, `_` and `-`."
            )
        if len(self._entries) >= MOST and name not in self._entries:
            raise InvalidRequest(f"A notebook can have {MOST} servers.", hint="%mcp remove NAME removes one.")
        entry: dict[str, Any] = {"type": "mcp", "server_label": name}
        if is_address(words[0]):
            if len(words) > 1:
                raise InvalidRequest("An address has no arguments.", hint="%mcp add NAME URL")
            self._entries[name] = {**entry, "server_url": words[0], "agent_kernel": {"progress": True}}
        else:
            ours = {"command": list(words), "progress": True}
            self._entries[name] = {**entry, "require_approval": "never", "agent_kernel": ours}

    def remove(self, name: str) -> None:
        """Remove a server. Raises `InvalidRequest` if there is none of this name."""
        if self._entries.pop(name, None) is None:
            raise InvalidRequest(f"There is no server {name}.", hint="%mcp lists the servers.")

    def listed(self) -> list[tuple[str, str]]:
        """Return each server's name, and its host or its command. An address may hold a secret."""
        found = []
        for name, entry in sorted(self._entries.items()):
            url = entry.get("server_url")
            where = host_of(url) if url else f"in the container: {' '.join(entry['agent_kernel']['command'])}"
            found.append((name, where))
        return found

    def tools(self) -> list[dict[str, Any]]:
        """Return the entries of `tools`."""
        return list(self._entries.values())


def is_address(word: str) -> bool:
    """Return whether a word is a server's address, and not a program."""
    return word.startswith(("https://", "http://"))


def host_of(url: str) -> str:
    """Return the host and port in an address."""
    return url.partition("://")[2].partition("/")[0].rpartition("@")[2].partition("?")[0]
