"""An MCP server over stdio with forty tools; each returns its own name and what it was given."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mcp.server.mcpserver import MCPServer

LONG = "count_the_items_of_one_kind_in_every_warehouse_of_a_country"
NAMES = [LONG, "stock.level", *(f"shelf_{number:02}" for number in range(38))]


def made() -> MCPServer:
    """Return the server."""
    from mcp.server.mcpserver import MCPServer

    server = MCPServer("warehouse")
    for name in NAMES:
        server.add_tool(_tool(name), name=name, description=f"Look up {name}.")
    return server


def _tool(name: str) -> Callable[[str], str]:
    def look_up(item: str) -> str:
        return f"{name} of {item}: 7"

    return look_up


if __name__ == "__main__":
    made().run("stdio")
