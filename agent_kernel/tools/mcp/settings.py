"""Settings for MCP servers that requests name."""

from __future__ import annotations

from traitlets import Float, Unicode
from traitlets.config import Configurable


class McpSettings(Configurable):
    """Remote MCP servers; see docs/guide/mcp.md. Those that run in a container need no setting."""

    hosts = Unicode(
        "",
        help="""Hosts of MCP servers that requests may name, separated by commas: `NAME`, `*.NAME`, each also
        with `:PORT`, `tcp://HOST:PORT` for a server on a private network, and `*` for every public host.
        Empty: none.""",
    ).tag(config=True, variable="AGENT_KERNEL_MCP_HOSTS")
    timeout = Float(
        120.0,
        min=1.0,
        help="""Seconds that a call to an MCP server may take.""",
    ).tag(config=True, variable="AGENT_KERNEL_MCP_TIMEOUT")
