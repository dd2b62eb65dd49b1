"""`/v1/agent_kernel/sessions`: sessions that outlive the front end that made them."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from agent_kernel.errors import CapabilityMissing
from agent_kernel.protocol.validation import check
from agent_kernel.runtime.kept import KeepsSessions, KeptSession
from agent_kernel.server.pages import deleted, flag, path, runtime_of
from agent_kernel.server.uploads import read_json


async def keep_session(request: Request) -> Response:
    """Keep a new session, or the next state of one that is named by its id and revision."""
    asked = await read_json(request)
    check("SessionParams", asked)
    given: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    return JSONResponse((await _keeping(request).keep_session(KeptSession(**given))).to_json())


async def list_sessions(request: Request) -> Response:
    """List the kept sessions without their state, the last kept first."""
    found = await _keeping(request).kept_sessions()
    data = [{name: value for name, value in each.to_json().items() if name != "state"} for each in found]
    return JSONResponse({"object": "list", "data": data, "has_more": False})


async def retrieve_session(request: Request) -> Response:
    """Return a kept session, unless `state` is false with its state."""
    state = flag(request, "state") if "state" in request.query_params else True
    found = await _keeping(request).kept_session(path(request, "session_id"), state=state)
    return JSONResponse(found.to_json())


async def forget_session(request: Request) -> Response:
    """Forget a kept session; its responses and its container stay."""
    session_id = path(request, "session_id")
    await _keeping(request).forget_session(session_id)
    return deleted(session_id, "agent_kernel.kept_session.deleted")


def _keeping(request: Request) -> KeepsSessions:
    runtime = runtime_of(request)
    if not isinstance(runtime, KeepsSessions):
        raise CapabilityMissing("This server keeps no sessions.")
    return runtime
