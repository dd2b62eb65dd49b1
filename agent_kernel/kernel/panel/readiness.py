"""The first-run page: what is ready on this machine, the preparation of the sandbox, and an example."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agent_kernel.errors import InvalidRequest

if TYPE_CHECKING:
    from agent_kernel.kernel.panel.messages import PanelRequest
    from agent_kernel.kernel.panel.preparation import KernelSetup
    from agent_kernel.kernel.panel.source import PanelSource


def _setup(source: PanelSource) -> KernelSetup:
    if source.setup is None:
        raise InvalidRequest("This kernel does not know how it was set up.", hint="Run: agent-kernel doctor")
    return source.setup


async def examine(source: PanelSource, request: PanelRequest) -> Mapping[str, Any]:
    """Return what is ready and what is missing, each with the next step."""
    request.only(("quick",))
    quick = request.arguments.get("quick", False)
    if not isinstance(quick, bool):
        raise InvalidRequest("quick must be true or false.")
    checks = await _setup(source).examine(quick=quick)
    return {"ready": all(each["ok"] for each in checks if each["needed"]), "checks": list(checks)}


async def prepare(source: PanelSource, request: PanelRequest) -> Mapping[str, Any]:
    """Prepare the sandbox; the state has the progress."""
    request.only(())
    await source.preparation.run(_setup(source))
    return {}


async def cancel(source: PanelSource, request: PanelRequest) -> Mapping[str, Any]:
    """Cancel the preparation, whichever page began it."""
    request.only(())
    source.preparation.cancel()
    return {}


async def example(source: PanelSource, request: PanelRequest) -> Mapping[str, Any]:
    """Return the example notebook and its data, for the page to write where it likes."""
    request.only(())
    return await _setup(source).example()
