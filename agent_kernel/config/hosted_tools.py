"""The settings of hosted tools that need some."""

from __future__ import annotations

from traitlets import Float, Int, Unicode
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


class DocumentSettings(Configurable):
    """How files are indexed for `file_search`; see docs/guide/documents.md."""

    embeddings = Unicode(
        "",
        help="""Embedding model for search by meaning, as its server names it. `local/ngrams` needs no server
        and finds other spellings only. Empty: files are searched by words alone.""",
    ).tag(config=True, variable="AGENT_KERNEL_EMBEDDINGS")
    embeddings_url = Unicode(
        "",
        help="""Address of the endpoint that serves the embedding model, up to and including `/v1`.
        Empty: that of `AGENT_KERNEL_UPSTREAM_URL`.""",
    ).tag(config=True, variable="AGENT_KERNEL_EMBEDDINGS_URL")
    embeddings_key = Unicode(
        "",
        help="""Key for that endpoint. Empty: none is sent to `AGENT_KERNEL_EMBEDDINGS_URL`; without that
        address, the key of `AGENT_KERNEL_UPSTREAM_KEY`.""",
    ).tag(config=True, secret=True, variable="AGENT_KERNEL_EMBEDDINGS_KEY")
    max_document = Int(
        64 << 20,
        min=1,
        help="""Bytes of text of one file that are indexed; a longer file is refused.""",
    ).tag(config=True)
