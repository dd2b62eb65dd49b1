"""The models that the extension offers, and the test of one: as `%model` lists and tests them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agent_kernel.kernel.panel.settings import read_model
from agent_kernel.runtime.base import AsksModelServers

if TYPE_CHECKING:
    from agent_kernel.kernel.panel.messages import PanelRequest
    from agent_kernel.kernel.panel.source import PanelSource


async def listing(source: PanelSource, request: PanelRequest) -> Mapping[str, Any]:
    """Return the names of the models that the runtime lists; others can be used as well."""
    request.only(())
    return {"models": list(await (await source.notebook.runtime()).models())}


async def probe(source: PanelSource, request: PanelRequest) -> Mapping[str, Any]:
    """Ask the server of a model, by default the notebook's, what it offers. Uses no tokens.

    The result has `known` false if this kernel does not reach the server, or the model has none. Raises
    `InvalidRequest` and `ConfigurationError` for a model that cannot be used.
    """
    request.only(("model",))
    name = read_model(request.arguments.get("model")) or source.notebook.model
    runtime = await source.notebook.runtime()
    report = await runtime.model_server(name) if isinstance(runtime, AsksModelServers) else None
    if report is None:
        return {"known": False}
    if report.problem is not None:
        return {"known": True, "problem": report.problem, "hint": report.hint, "lines": []}
    lines = [f"{report.server_line}.", f"Tools: {report.tools_line}.", f"Context: {report.context_line}."]
    hint = report.tools_hint if report.tools is False else None
    return {"known": True, "problem": None, "hint": hint, "lines": lines}
