"""Several processes that serve one port over one store."""

from agent_kernel.server.workers.supervisor import Supervisor

__all__ = ["Supervisor"]
