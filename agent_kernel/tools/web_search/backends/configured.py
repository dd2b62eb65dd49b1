"""The search service that the settings name."""

from __future__ import annotations

from agent_kernel.errors import ConfigurationError, InvalidRequest
from agent_kernel.tools.web_search.backends.mcp import McpBackend
from agent_kernel.tools.web_search.backends.services import SERVICES, ServiceBackend
from agent_kernel.tools.web_search.base import SearchBackend, checked_address

MCP = "mcp"
NAMES = (*SERVICES, MCP)
_URL, _KEY, _TOOL = (f"AGENT_KERNEL_WEB_SEARCH_{each}" for each in ("URL", "KEY", "TOOL"))


def search_backend(name: str, url: str, key: str, tool: str, seconds: float) -> SearchBackend | None:
    """Return the service of this name, None for an empty one. Raises `ConfigurationError`."""
    if not name:
        return None
    if name not in NAMES:
        raise ConfigurationError(
            f"AGENT_KERNEL_WEB_SEARCH names no search service: {name}.", hint=f"Use {', '.join(NAMES)}."
        )
    service = SERVICES.get(name)
    address = url or (service.url if service is not None else "")
    if not address:
        raise ConfigurationError(f"The search service {name} needs an address.", hint=f"Set {_URL}.")
    try:
        checked_address(address, _URL)
    except InvalidRequest as error:
        raise ConfigurationError(error.message, hint=f"Correct {_URL}.") from None
    if service is None:
        if not tool:
            raise ConfigurationError(
                "The MCP server that searches needs the name of its tool.", hint=f"Set {_TOOL}."
            )
        return McpBackend(address, key, tool, seconds)
    if service.header and not key:
        raise ConfigurationError(f"{service.name} needs a key.", hint=f"Set {_KEY}.")
    return ServiceBackend(service, address, key, seconds)
