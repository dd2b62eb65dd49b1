"""The magic `%mcp`: MCP servers whose tools the agent may use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_kernel.errors import InvalidRequest
from agent_kernel.kernel.magics.python import words_of

if TYPE_CHECKING:
    from agent_kernel.kernel.notebook import Notebook
    from agent_kernel.kernel.outputs import CellOutputs

_USAGE = "Use %mcp, %mcp add NAME COMMAND…, %mcp add NAME URL or %mcp remove NAME"


async def servers(notebook: Notebook, outputs: CellOutputs, arguments: str) -> None:
    """Add, list or remove servers. Raises `InvalidRequest`."""
    from agent_kernel.kernel.offers.servers import host_of, is_address
    from agent_kernel.kernel.render.bundles import note
    from agent_kernel.kernel.render.definitions import definitions
    from agent_kernel.kernel.render.text import clean, code

    match words_of("%mcp", arguments, _USAGE):
        case []:
            rows = [(clean(name), clean(where)) for name, where in notebook.servers.listed()]
            if not rows:
                outputs.result(note("There are no MCP servers. `%mcp add NAME COMMAND` adds one."))
                return
            caption = "The agent can use the tools of these MCP servers."
            outputs.result(definitions(("server", "where"), rows, caption).bundle())
        case ["add", name, *words] if words:
            notebook.servers.add(name, words)
            remote = is_address(words[0])
            where = f"at {code(clean(host_of(words[0])))}" if remote else "in the container"
            asks = " You are asked before each call." if remote else ""
            outputs.result(note(f"The agent can use the tools of {code(clean(name))}, {where}.{asks}"))
        case ["remove", name]:
            notebook.servers.remove(name)
            outputs.result(note(f"Removed {code(clean(name))}."))
        case _:
            raise InvalidRequest(f"%mcp does not know {arguments.strip()!r}.", hint=_USAGE)
