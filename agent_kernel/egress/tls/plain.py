"""Connections of a container with secrets that are not read: no placeholder leaves in clear."""

from __future__ import annotations

from agent_kernel.egress.gate import HTTP_PORT, Gate, NotForwarded, forbidden
from agent_kernel.egress.tls.needles import Needles
from agent_kernel.egress.tls.secrets import names_placeholder

_TLS = b"\x16"
_TAIL = 4 << 10
"""Bytes that are looked at again with the next ones: a placeholder, or Basic credentials with one."""
_SSH = b"SSH-"


class PlaceholderGate:
    """Refuses a placeholder in what `gate` checks, unless it is TLS: that is encrypted, and passes unread."""

    def __init__(self, gate: Gate, placeholders: Needles, port: int) -> None:
        self._gate = gate
        self._placeholders = placeholders
        self._answerable = port == HTTP_PORT
        self._begun = False
        self._secure = False
        self._tail = b""

    def feed(self, data: bytes) -> bytes:
        if not self._begun and data:
            self._begun, self._secure = True, data.startswith(_TLS)
        if not self._secure:
            seen = self._tail + data
            if names_placeholder(self._placeholders, seen):
                reason = "a secret is used in a connection that is not HTTPS to its host"
                raise NotForwarded(reason, forbidden(reason) if self._answerable else b"")
            self._tail = seen[-_TAIL:]
        passed = self._gate.feed(data)
        self._answerable = self._answerable and not passed
        return passed

    def end(self) -> bytes:
        return self._gate.end()


class SshGate:
    """Requires SSH, which no secret of a host is for."""

    def __init__(self) -> None:
        self._begun = b""

    def feed(self, data: bytes) -> bytes:
        if len(self._begun) < len(_SSH):
            self._begun += data[: len(_SSH)]
            if not _SSH.startswith(self._begun[: len(_SSH)]):
                raise NotForwarded("only SSH is possible on this port to a host with a secret")
        return data

    def end(self) -> bytes:
        return b""
