"""New ids in place of those of an archive, wherever a value names one."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from typing import Any

_FOREIGN = re.compile(r"(resp|cntr|cont|snap|sess|conv)_[0-9a-zA-Z]{8,64}")


class Relabelling:
    """Replaces texts that are ids. One that is not in the archive becomes an id of nothing.

    Otherwise an archive could name the container or the conversation of somebody else.
    """

    def __init__(self, known: Mapping[str, str]) -> None:
        self._known = dict(known)

    def value(self, value: Any) -> Any:
        """Return JSON with new ids, in names of fields too."""
        if isinstance(value, str):
            return self.id(value)
        if isinstance(value, Mapping):
            return {self.id(str(name)): self.value(inner) for name, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(inner) for inner in value]
        return value

    def id(self, text: str) -> str:
        """Return the new id for a text that is an id, and any other text as it is."""
        if text in self._known:
            return self._known[text]
        if len(text) > 80 or not _FOREIGN.fullmatch(text):
            return text
        prefix = text.partition("_")[0]
        return self._known.setdefault(text, f"{prefix}_{secrets.token_hex(16)}")
