"""Reads an entry `{"type": "mcp", ...}` of a request's `tools`.

Its credentials stay in this process's memory: they are neither in the entry that a response shows nor in what
is stored. So each request brings them again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from agent_kernel.errors import InvalidRequest
from agent_kernel.protocol.calls import SERVER_LABEL
from agent_kernel.protocol.validation import shortened
from agent_kernel.tools.mcp.filters import ApprovalRule, ToolFilter, read_allowed, read_approval_rule

Json = Mapping[str, Any]

REDACTED = "<redacted>"
"""What a response shows in place of a credential, as OpenAI's API does."""

_LABEL = re.compile(r"[A-Za-z0-9_-]{1,64}")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]{0,8192}")
_OURS = frozenset(
    {
        *("host", "content-length", "content-type", "transfer-encoding", "connection", "accept", "te"),
        *("accept-encoding", "upgrade", "mcp-session-id", "mcp-protocol-version", "last-event-id"),
    }
)
_MOST_HEADERS = 50
_LONGEST_URL = 4096
_PLAIN_PATHS = ("", "/", "/mcp", "/mcp/", "/sse", "/sse/")
_HIDDEN = ("headers", "authorization", "server_url", "agent_kernel")
_OUR_FIELDS = ("command", "progress")


@dataclass(frozen=True)
class McpServer:
    """A server that a request names: at a `url`, or with a `command` that runs in the turn's container.

    `where` is its place in the request. `progress`: the client wants events about the progress of calls.
    `deferred`: a model must find its tools first.
    `forgotten`: its address or credentials are not known, because the entry is one that was stored.
    """

    label: str
    where: str
    approval: ApprovalRule
    allowed: ToolFilter | None = None
    url: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    command: tuple[str, ...] = ()
    progress: bool = False
    forgotten: bool = False
    deferred: bool = False

    @property
    def place(self) -> str:
        """The server's host, or the program that runs it, for logs."""
        return f"{urlsplit(self.url).hostname}" if self.url is not None else self.command[0]


def read_server(spec: Json, index: int) -> tuple[McpServer, dict[str, Any]]:
    """Return the server of `tools[index]`, and the entry without credentials. Raises `InvalidRequest`.

    No error repeats a credential.
    """
    where = f"tools[{index}]"
    label = spec.get("server_label")
    if not isinstance(label, str) or not _LABEL.fullmatch(label):
        raise InvalidRequest(
            f"{where}.server_label must be 1 to 64 letters, digits, `_` or `-`.",
            param=f"{where}.server_label",
        )
    _refuse_other_places(spec, where)
    ours = spec.get("agent_kernel") or {}
    if not isinstance(ours, Mapping) or ours.keys() - set(_OUR_FIELDS):
        raise InvalidRequest(
            f"{where}.agent_kernel must be an object with {' or '.join(_OUR_FIELDS)}.",
            param=f"{where}.agent_kernel",
        )
    command, url = _command(ours.get("command"), where), spec.get("server_url")
    if bool(command) == (url is not None):
        raise InvalidRequest(
            f"{where} must have either server_url or agent_kernel.command.", param=f"{where}.server_url"
        )
    server = McpServer(
        label,
        where,
        read_approval_rule(spec.get("require_approval"), f"{where}.require_approval"),
        read_allowed(spec.get("allowed_tools"), f"{where}.allowed_tools"),
        None if url is None else checked_url(url, f"{where}.server_url"),
        _headers(spec, where),
        command,
        _flag(ours.get("progress"), f"{where}.agent_kernel.progress"),
        spec.get("authorization") == REDACTED or (isinstance(url, str) and REDACTED in url),
        _flag(spec.get("defer_loading"), f"{where}.defer_loading"),
    )
    return server, _shown(spec, server, ours)


def _refuse_other_places(spec: Json, where: str) -> None:
    for name in ("connector_id", "tunnel_id"):
        if spec.get(name) is not None:
            raise InvalidRequest(
                f"{where}.{name} is not supported: connectors and tunnels are OpenAI's own services.",
                hint="Name the MCP server by its server_url.",
                param=f"{where}.{name}",
            )


def checked_url(url: object, where: str) -> str:
    """Return a server's address. Raises `InvalidRequest`, which does not repeat it."""
    if not isinstance(url, str) or len(url) > _LONGEST_URL or not url.isprintable() or " " in url:
        raise InvalidRequest(f"{where} must be a URL.", param=where)
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise InvalidRequest(f"{where} is not a valid URL.", param=where) from None
    if parts.scheme not in ("http", "https") or not host:
        raise InvalidRequest(f"{where} must begin with https:// or http:// and name a host.", param=where)
    if parts.username is not None or parts.password is not None:
        raise InvalidRequest(
            f"{where} must not contain a user name or password.",
            hint="Send credentials in authorization or headers.",
            param=where,
        )
    return url


def _command(given: object, where: str) -> tuple[str, ...]:
    if given is None:
        return ()
    words = given if isinstance(given, list | tuple) else ()
    if not words or len(words) > 100 or not all(isinstance(each, str) and "\0" not in each for each in words):
        raise InvalidRequest(
            f"{where}.agent_kernel.command must be a list of 1 to 100 strings: a program and its arguments.",
            param=f"{where}.agent_kernel.command",
        )
    return tuple(words)


def _headers(spec: Json, where: str) -> dict[str, str]:
    given = spec.get("headers") or {}
    if not isinstance(given, Mapping) or len(given) > _MOST_HEADERS:
        raise InvalidRequest(
            f"{where}.headers must be an object with at most {_MOST_HEADERS} headers.",
            param=f"{where}.headers",
        )
    headers: dict[str, str] = {}
    for name, value in given.items():
        if not isinstance(name, str) or not _HEADER.fullmatch(name) or not _is_value(value):
            raise InvalidRequest(f"{where}.headers has a header that is not valid.", param=f"{where}.headers")
        if name.lower() in _OURS:
            raise InvalidRequest(f"{where}.headers must not set {name}.", param=f"{where}.headers")
        headers[name] = value
    token = spec.get("authorization")
    if token is None:
        return headers
    if not _is_value(token) or not token:
        raise InvalidRequest(f"{where}.authorization must be a token.", param=f"{where}.authorization")
    if any(name.lower() == "authorization" for name in headers):
        raise InvalidRequest(
            f"{where} has both authorization and a header of this name.", param=f"{where}.authorization"
        )
    return {**headers, "Authorization": f"Bearer {token}"}


def _is_value(value: object) -> bool:
    return isinstance(value, str) and _VALUE.fullmatch(value) is not None


def _flag(given: object, where: str) -> bool:
    if not isinstance(given, bool | None):
        raise InvalidRequest(f"{where} must be true or false, not {shortened(given)}.", param=where)
    return bool(given)


def _shown(spec: Json, server: McpServer, ours: Json) -> dict[str, Any]:
    """Return the entry as a response shows it: of an address only the host, since a path can be secret."""
    shown = {name: value for name, value in spec.items() if name not in _HIDDEN}
    if server.url is not None:
        parts = urlsplit(server.url)
        path = parts.path if parts.path in _PLAIN_PATHS and not parts.query else f"/{REDACTED}"
        shown |= {"server_url": f"{parts.scheme}://{parts.netloc}{path}", "headers": None}
        if server.headers:
            shown["authorization"] = REDACTED  # also for headers: a stored request must not run without them
        elif "authorization" in spec:
            shown["authorization"] = None
    if ours:
        shown["agent_kernel"] = dict(ours)
    return shown


def is_answerer(spec: Json) -> bool:
    """Return whether an entry only makes the Agents SDK answer the approval requests of this server."""
    return spec.get("server_label") == SERVER_LABEL
