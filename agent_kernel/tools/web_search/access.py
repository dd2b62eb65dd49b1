"""What the operator allows of the web: a search service, and pages."""

from __future__ import annotations

from dataclasses import dataclass, field

from agent_kernel.tools.web_search.base import SearchBackend
from agent_kernel.tools.web_search.pages import Pages


@dataclass(frozen=True)
class WebAccess:
    """The limits of `web_search` in `TurnSettings.tools`. Without a `backend` the tool is refused."""

    backend: SearchBackend | None = None
    pages: Pages = field(default_factory=Pages)
