"""`/v1/agent_kernel/sessions/{session_id}/everything`: complete deletion."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from agent_kernel.errors import CapabilityMissing
from agent_kernel.runtime.deleting import DeletesSessions
from agent_kernel.server.pages import path, runtime_of


async def delete_session(request: Request) -> Response:
    """Delete a session with its container, its checkpoints, its responses and its uploaded files."""
    runtime = runtime_of(request)
    if not isinstance(runtime, DeletesSessions):
        raise CapabilityMissing("This server keeps no sessions.")
    return JSONResponse((await runtime.delete_session(path(request, "session_id"))).to_json())
