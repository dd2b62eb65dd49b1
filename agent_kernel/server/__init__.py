"""The HTTP skin over a runtime: the same API, spoken over HTTP."""

from agent_kernel.server.app import create_app
from agent_kernel.server.serving import listen, serve

__all__ = ["create_app", "listen", "serve"]
