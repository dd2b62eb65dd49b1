"""Connections to a PostgreSQL database, and what is said when one cannot be made or used."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.errors import InsufficientPrivilege

from agent_kernel.errors import ConfigurationError

APPLICATION = "agent-kernel"
CONNECT_SECONDS = 10

ALIVE: dict[str, Any] = {
    "connect_timeout": CONNECT_SECONDS,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
    "application_name": APPLICATION,
}
"""Options of every connection that a URL may replace: a server that is cut off is noticed in some 20 s."""

LOST = (psycopg.OperationalError, psycopg.InterfaceError, OSError)
"""Errors of a connection that has ended, among others."""


class DatabaseAddress:
    """Where a database is, and how. Its password never gets into a message."""

    def __init__(self, url: str) -> None:
        """Raise `ConfigurationError` for a URL that PostgreSQL does not understand."""
        parts = _parts(url)
        self._password = str(parts.get("password") or "")
        self.options: dict[str, Any] = {**ALIVE, **parts}

    def connect(self) -> psycopg.Connection:
        """Return a new connection in autocommit mode (blocking). Raises what psycopg raises."""
        return psycopg.connect(autocommit=True, **self.options)

    async def connect_async(self) -> psycopg.AsyncConnection:
        """Return a new connection for the event loop, in autocommit mode. Raises what psycopg raises."""
        return await psycopg.AsyncConnection.connect(autocommit=True, **self.options)

    def words(self, error: BaseException) -> str:
        """Return the first line of an error, without the password."""
        words = str(error).strip().partition("\n")[0] or type(error).__name__
        return words.replace(self._password, "***") if self._password else words

    def unusable(self, error: BaseException) -> ConfigurationError:
        """Return the error for an operator whose database cannot be used."""
        return ConfigurationError(
            f"The PostgreSQL store cannot be used: {self.words(error)}.", hint=self._hint(error)
        )

    def _hint(self, error: BaseException) -> str:
        role = self.options.get("user") or "the server's role"
        said = str(error)
        if isinstance(error, InsufficientPrivilege):
            if "schema" in said:
                return (
                    "Run this as the owner of the schema; without CREATE the tables must have been made by"
                    f" another role: GRANT USAGE, CREATE ON SCHEMA public TO {role}"
                )
            return (
                "Run this as the owner of the tables: GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN"
                f" SCHEMA public TO {role}; GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {role}"
            )
        if "permission denied for database" in said:
            grant = f"GRANT CONNECT ON DATABASE {self.options['dbname']} TO {role}"
            return f"Run this as the database's owner: {grant}"
        return "Check that the server runs, and AGENT_KERNEL_STORE."


def _parts(url: str) -> dict[str, Any]:
    """Return the parts of a URL. Raises `ConfigurationError` that contains no part of the URL.

    A password that is not escaped ends up in the port, the host or the database's name.
    """
    try:
        parts = {name: value for name, value in conninfo_to_dict(url).items() if value is not None}
    except psycopg.Error:
        parts = {"port": "?"}
    ports = str(parts.get("port", "")).split(",")
    if all(port == "" or port.isdecimal() for port in ports) and "@" not in (
        str(parts.get("host", "")) + str(parts.get("dbname", ""))
    ):
        return parts
    raise ConfigurationError(
        "AGENT_KERNEL_STORE is not a valid PostgreSQL URL.",
        hint="It has the form postgresql://USER:PASSWORD@HOST:PORT/DATABASE; escape special characters of"
        " the password as in any URL.",
    ) from None
