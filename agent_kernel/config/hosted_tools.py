"""The settings of hosted tools that need some."""

from __future__ import annotations

from typing import TYPE_CHECKING

from traitlets import Float, Int, Unicode
from traitlets.config import Configurable

from agent_kernel.errors import ConfigurationError, InvalidRequest

if TYPE_CHECKING:
    from agent_kernel.tools.mcp.servers import McpLimits
    from agent_kernel.tools.outbound import AllowedHosts
    from agent_kernel.tools.web_search.access import WebAccess


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

    def limits(self) -> McpLimits:
        """Return the limits of MCP servers. Raises `ConfigurationError` for hosts that cannot be used."""
        from agent_kernel.tools.mcp.servers import McpLimits

        return McpLimits(_hosts(self.hosts, "AGENT_KERNEL_MCP_HOSTS"), call=self.timeout)


class WebSettings(Configurable):
    """The search service and the pages of `web_search`; see docs/guide/web-search.md."""

    web_search = Unicode(
        "",
        help="""Service that searches the web: `searxng`, `brave`, `tavily`, `exa`, or `mcp` for a tool of an
        MCP server. Empty: requests cannot search the web.""",
    ).tag(config=True, variable="AGENT_KERNEL_WEB_SEARCH")
    web_search_url = Unicode(
        "",
        help="""Address of that service, which may be on a private network. `searxng` and `mcp` need it; for
        the others it replaces their public one.""",
    ).tag(config=True, variable="AGENT_KERNEL_WEB_SEARCH_URL")
    web_search_key = Unicode(
        "",
        help="""Key for that service. It is sent to it alone.""",
    ).tag(config=True, secret=True, variable="AGENT_KERNEL_WEB_SEARCH_KEY")
    web_search_tool = Unicode(
        "",
        help="""Name of the tool of the MCP server that searches. It is called with `query`.""",
    ).tag(config=True, variable="AGENT_KERNEL_WEB_SEARCH_TOOL")
    web_hosts = Unicode(
        "*",
        help="""Hosts whose pages models may open, separated by commas: `NAME`, `*.NAME`, each also with
        `:PORT`, `tcp://HOST:PORT` for one on a private network, and `*` for every public host. Empty:
        none.""",
    ).tag(config=True, variable="AGENT_KERNEL_WEB_HOSTS")
    web_timeout = Float(
        20.0,
        min=1.0,
        help="""Seconds that a search, or the transfer of a page, may take.""",
    ).tag(config=True, variable="AGENT_KERNEL_WEB_TIMEOUT")

    def access(self) -> WebAccess:
        """Return what `web_search` may use. Raises `ConfigurationError` for what cannot be used."""
        from agent_kernel.tools.web_search.access import WebAccess
        from agent_kernel.tools.web_search.backends.configured import search_backend
        from agent_kernel.tools.web_search.pages import Pages

        service = (self.web_search, self.web_search_url, self.web_search_key, self.web_search_tool)
        pages = Pages(_hosts(self.web_hosts, "AGENT_KERNEL_WEB_HOSTS"), self.web_timeout)
        return WebAccess(search_backend(*service, self.web_timeout), pages)


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


def _hosts(listed: str, variable: str) -> AllowedHosts:
    """Return the hosts in a setting. Raises `ConfigurationError`, naming its variable."""
    from agent_kernel.tools.outbound import AllowedHosts

    entries = [each.strip() for each in listed.split(",") if each.strip()]
    try:
        return AllowedHosts.parse(entries, param=variable)
    except InvalidRequest as error:
        raise ConfigurationError(f"{variable} cannot be used: {error.message}", hint=error.hint) from None
