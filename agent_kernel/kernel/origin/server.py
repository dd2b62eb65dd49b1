"""Ask the Jupyter server that started a kernel for the notebook's present path.

The server's file has a token. It is sent to that server only, and no message or log contains it.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SECONDS = 3.0
"""Seconds that the server may take for each step of an answer."""

MAX_BYTES = 8 << 20
"""The largest answer read, in bytes."""

_LOOPBACK = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "*": "127.0.0.1", "::": "::1"}  # noqa: S104 (never bound)


class ServerNotAsked(Exception):
    """The Jupyter server gave no answer. The text says why and contains no secret."""


def present_path(server_file: Path, kernel_id: str, token: str | None) -> Path | None:
    """Return where the kernel's notebook is now; None if the server has no session with this kernel.

    Blocks for a few seconds at most. Raises `ServerNotAsked`.
    """
    info = _info(server_file)
    found = [session for session in _sessions(info, token) if _kernel_of(session) == kernel_id]
    found.sort(key=lambda session: session.get("type") != "notebook")  # a console may share the kernel
    path = found[0].get("path") if found else None
    if not isinstance(path, str) or not path:
        return None
    return Path(str(info.get("root_dir") or ""), path.removeprefix("RTC:").lstrip("/"))


def _info(server_file: Path) -> Mapping[str, Any]:
    try:
        info = json.loads(server_file.read_bytes())
    except FileNotFoundError:
        raise ServerNotAsked(f"there is no {server_file.name} in Jupyter's runtime folder") from None
    except (OSError, ValueError):
        raise ServerNotAsked(f"{server_file.name} in Jupyter's runtime folder cannot be read") from None
    if not isinstance(info, dict):
        raise ServerNotAsked(f"{server_file.name} in Jupyter's runtime folder describes no server")
    return info


def _sessions(info: Mapping[str, Any], token: str | None) -> list[Mapping[str, Any]]:
    token = str(info.get("token") or token or "")
    headers = {"Authorization": f"token {token}"} if token else {}
    try:
        connection = _connection(info)
        try:
            connection.request("GET", f"{info.get('base_url') or '/'}api/sessions", headers=headers)
            response = connection.getresponse()
            status, body = response.status, response.read(MAX_BYTES + 1)
        finally:
            connection.close()
    except (OSError, http.client.HTTPException) as error:
        raise ServerNotAsked(f"it does not answer ({type(error).__name__})") from None
    except ValueError:  # its text may contain the token
        raise ServerNotAsked("its address or its token cannot be used") from None
    if status != http.client.OK:
        raise ServerNotAsked(f"it answered with HTTP status {status}")
    try:
        sessions = json.loads(body) if len(body) <= MAX_BYTES else None
    except ValueError:
        sessions = None
    if not isinstance(sessions, list):
        raise ServerNotAsked("its answer cannot be understood")
    return [session for session in sessions if isinstance(session, dict)]


def _kernel_of(session: Mapping[str, Any]) -> object:
    kernel = session.get("kernel")
    return kernel.get("id") if isinstance(kernel, dict) else None


def _connection(info: Mapping[str, Any]) -> http.client.HTTPConnection:
    if info.get("sock"):
        return _SocketFileConnection(str(info["sock"]))
    host = str(info.get("hostname") or "")
    host = _LOOPBACK.get(host, host)
    port = int(info.get("port") or 0)
    if not info.get("secure"):
        return http.client.HTTPConnection(host, port, timeout=SECONDS)
    context = ssl.create_default_context()
    if host in ("127.0.0.1", "::1", "localhost"):  # its certificate is for another name, or self-signed
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection(host, port, timeout=SECONDS, context=context)


class _SocketFileConnection(http.client.HTTPConnection):
    """A connection to a server that listens on a socket file."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=SECONDS)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket file instead of the host."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(SECONDS)
        self.sock.connect(self._path)
