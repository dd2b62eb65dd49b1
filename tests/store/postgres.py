"""A PostgreSQL server of the tests' own: a new cluster in a temporary folder, on a free port of loopback.

It never runs as root: then as Debian's user `postgres`, with no group of ours. It ends with its parent.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from tests.logging_server import logging_server

PASSWORD = "s3cret/of:the@database"
QUICK = dict.fromkeys(("fsync", "full_page_writes", "autovacuum"), "off") | {"max_wal_senders": "0"}
"""What only a machine that loses its power would miss."""
QUOTED = "s3cret%2Fof%3Athe%40database"
MOST_UNUSED = 10
"""Databases that are kept although nobody is connected: more than a test needs."""


def programs() -> Path | None:
    """The newest PostgreSQL of Debian's, or None."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    return found[-1].parent if found else None


class Postgres:
    """A running server."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port
        self._made = 0
        self._there: list[str] = []

    def url(self, database: str, password: str = QUOTED) -> str:
        return f"postgresql://postgres:{password}@127.0.0.1:{self.port}/{database}"

    def new(self) -> str:
        """Make an empty database and return its URL. Old ones that nobody is connected to are dropped.

        Each has 300 files, and those of a whole run take minutes to remove beside other work.
        """
        self._made += 1
        name = f"store_{self._made}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            for old in self._there[:-MOST_UNUSED]:
                with contextlib.suppress(psycopg.errors.ObjectInUse):
                    connection.execute(f"DROP DATABASE {old}".encode())
                    self._there.remove(old)
            connection.execute(f"CREATE DATABASE {name}".encode())
        self._there.append(name)
        return self.url(name)

    def crash(self) -> None:
        """Kill a process of the server: it ends all others, forgets all locks, and recovers."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            os.kill(connection.info.backend_pid, signal.SIGKILL)
            with contextlib.suppress(psycopg.OperationalError):
                connection.execute("SELECT 1")

    @contextmanager
    def outage(self, url: str) -> Iterator[None]:
        """End every connection to a database, and refuse new ones."""
        name = url.rpartition("/")[2]
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false".encode())
            self.drop_connections(url)
            yield
            connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true".encode())

    def drop_connections(self, url: str) -> None:
        """End every connection to a database, as a restart of the server would."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
                (url.rpartition("/")[2],),
            )


def _as_postgres() -> list[str]:
    if os.geteuid() != 0:
        return []
    user = pwd.getpwnam("postgres")
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]


@contextmanager
def running(programs: Path) -> Iterator[Postgres]:
    """Start a server, and end it with everything of its own."""
    folder = Path(tempfile.mkdtemp(prefix="agent-kernel-postgres-"))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres", "postgres")
        secret = folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        data, prefix = folder / "data", _as_postgres()
        subprocess.run(
            [
                *prefix, programs / "initdb", "-D", data, "-U", "postgres", "--no-sync", "--encoding=UTF8",
                "--locale=C", "--auth=scram-sha-256", f"--pwfile={secret}",
            ],
            check=True, capture_output=True, cwd="/",
        )  # fmt: skip
        settings = {"listen_addresses": "127.0.0.1", "unix_socket_directories": folder}
        settings |= {"max_connections": "50", "shared_buffers": "32MB", **QUICK}

        def start(port: int) -> subprocess.Popen[str]:
            return subprocess.Popen(
                [
                    *prefix, *(["--pdeathsig", "INT"] if prefix else []), programs / "postgres", "-D", data,
                    f"-cport={port}", *(f"-c{name}={value}" for name, value in settings.items()),
                ],
                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd="/",
            )  # fmt: skip

        ready = "database system is ready to accept connections"
        with logging_server(start, ready, end=signal.SIGQUIT) as server:  # its data goes anyway
            yield Postgres(folder, server.port)
    finally:
        shutil.rmtree(folder)
