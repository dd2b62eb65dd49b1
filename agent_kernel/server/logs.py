"""Log entries as JSON, one object per line, for whatever collects them."""

from __future__ import annotations

import json
import logging
from contextvars import ContextVar
from datetime import UTC, datetime

_IDS = ("key", "response_id", "container_id", "conversation_id")

KEY_NAME: ContextVar[str] = ContextVar("agent_kernel_key", default="")
"""The name of the key on whose behalf something is done; empty for whoever has no key of a name."""


class KeyFilter(logging.Filter):
    """Puts the key's name into every entry, as `key` and, for people, as `whose`."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep all of them."""
        name = KEY_NAME.get()
        record.key = name or None
        record.whose = f" [{name}]" if name else ""
        return True


class JsonFormatter(logging.Formatter):
    """`time`, `level`, `logger`, `message`, perhaps `error`, and ids of what the entry is about."""

    def format(self, record: logging.LogRecord) -> str:
        """Write one line; line ends within are escaped."""
        entry: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        entry |= {name: value for name in _IDS if (value := getattr(record, name, None)) is not None}
        if record.exc_info:
            entry["error"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)


TEXT = "%(levelname)s %(name)s%(whose)s: %(message)s"


def set_up(style: str) -> None:
    """Log to stderr from INFO on, as `text` or `json`. It changes the root logger: for programs only."""
    handler = logging.StreamHandler()
    handler.addFilter(KeyFilter())
    handler.setFormatter(JsonFormatter() if style == "json" else logging.Formatter(TEXT))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs addresses, and those may hold secrets
    logging.getLogger("uvicorn").setLevel(logging.WARNING)  # what it has to say at the start, we say
