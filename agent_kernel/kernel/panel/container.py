"""The container settings of the extension: what `%container` shows and does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agent_kernel.errors import InvalidRequest
from agent_kernel.kernel.magics.settings import LIMITS, container_params, container_rows
from agent_kernel.kernel.outputs import silent

if TYPE_CHECKING:
    from agent_kernel.kernel.panel.messages import PanelRequest
    from agent_kernel.kernel.panel.source import PanelSource

LONGEST = 200


async def read(source: PanelSource, request: PanelRequest) -> Mapping[str, Any]:
    """Return the rows of `%container`; none before there is a container."""
    request.only(())
    return await _shown(source)


async def _shown(source: PanelSource) -> dict[str, Any]:
    notebook = source.notebook
    if notebook.container.id is None:
        return {"rows": []}
    found = await (await notebook.runtime()).containers.retrieve(notebook.container.id)
    return {"rows": container_rows(found)}


async def renew(source: PanelSource, request: PanelRequest) -> Mapping[str, Any]:
    """Replace the container with a new, empty one that has these limits."""
    request.only(("memory", *LIMITS))
    asked = {name: value for name, value in request.arguments.items() if value != ""}
    for name, value in asked.items():
        if not isinstance(value, str) or len(value) > LONGEST:
            raise InvalidRequest(f"{name} must be a short text.", param=name)
    async with source.alone():
        await source.notebook.container.renew(container_params(asked), silent())
    return await _shown(source)


async def reset(source: PanelSource, request: PanelRequest) -> Mapping[str, Any]:
    """Reset the shell; files and background processes are kept."""
    request.only(())
    async with source.alone():
        await source.notebook.container.reset_shell()
    return await _shown(source)
