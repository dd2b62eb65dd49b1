"""The parts that a runtime is built from."""

from __future__ import annotations

from dataclasses import dataclass, field

from agent_kernel.models.catalogue import Models
from agent_kernel.models.embedding.embedders import Embedder
from agent_kernel.policy.rules import Policy
from agent_kernel.runtime.background.recovery import Restart
from agent_kernel.runtime.containers.lifecycle import BackendSource
from agent_kernel.runtime.containers.readiness import Prepare
from agent_kernel.runtime.containers.settings import ContainerOptions
from agent_kernel.runtime.containers.skills.skills import Skills
from agent_kernel.runtime.observe.audit import OFF, AuditLog
from agent_kernel.runtime.observe.tracing import UNWATCHED, Tracing
from agent_kernel.runtime.turns.settings import TurnSettings
from agent_kernel.runtime.webhooks.delivery import Webhooks
from agent_kernel.store.base import Store


@dataclass(frozen=True)
class RuntimeParts:
    """The parts and settings of a runtime. It owns and closes `models`, `backend`, `store` and `tracing`."""

    models: Models
    backend: BackendSource
    """A backend, or a function that finds one on first use."""
    store: Store
    prepare: Prepare | None = None
    """Prepares what a backend makes its sandboxes from, when it is missing; None: nothing does."""
    container_settings: ContainerOptions = field(default_factory=ContainerOptions)
    turn_settings: TurnSettings = field(default_factory=TurnSettings)
    audit: AuditLog = OFF
    approval: Policy = field(default_factory=Policy)
    """The operator's policy."""
    skills: Skills = field(default_factory=Skills)
    tracing: Tracing = UNWATCHED
    retention: float | None = None
    """Seconds after which stored responses are deleted; None: never."""
    most_sessions: int = 500
    """Sessions that each key may keep."""
    embedder: Embedder | None = None
    """The embeddings of files in vector stores; None: these are searched by words alone. It owns it."""
    max_document: int = 64 << 20
    """Bytes of text of one file that are indexed."""
    webhooks: Webhooks | None = None
    """Tells the operator's endpoints that a background turn has ended; None: there are none. It owns it."""
    restart: Restart = "end"
    """The treatment of background turns of dead processes."""
