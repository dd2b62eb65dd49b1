"""Log entries for people (text) or for log collectors (one JSON object per line)."""

from __future__ import annotations

import logging
from contextvars import ContextVar

from pythonjsonlogger.core import LogData
from pythonjsonlogger.json import JsonFormatter as _JsonFormatter

_FIELDS = (
    "time",
    "level",
    "logger",
    "message",
    "key",
    "response_id",
    "container_id",
    "conversation_id",
    "error",
)

KEY_NAME: ContextVar[str] = ContextVar("agent_kernel_key", default="")
"""The name of the key that the current request came with; empty for the server's own key, or none."""


class KeyFilter(logging.Filter):
    """Add the key's name to every entry: as `key` for JSON, as `whose` for text."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep every entry."""
        name = KEY_NAME.get()
        record.key = name or None
        record.whose = f" [{name}]" if name else ""
        return True


class JsonFormatter(_JsonFormatter):
    """Format an entry as one line of JSON: time, level, logger, message, ids, and the traceback as `error`.

    Other fields are dropped, because libraries may attach secrets to their records.
    """

    def __init__(self) -> None:
        super().__init__(
            ["levelname", "name", "message"],
            rename_fields={"levelname": "level", "name": "logger", "exc_info": "error"},
            timestamp="time",
        )

    def process_log_record(self, log_data: LogData) -> LogData:
        """Drop unknown and empty fields, and put the rest into a fixed order."""
        log_data["level"] = log_data["level"].lower()
        return {name: value for name in _FIELDS if (value := log_data.get(name)) is not None}


TEXT = "%(levelname)s %(name)s%(whose)s: %(message)s"


def set_up(style: str) -> None:
    """Log to stderr from level INFO, as `text` or `json`. This changes the root logger: for programs only."""
    handler = logging.StreamHandler()
    handler.addFilter(KeyFilter())
    handler.setFormatter(JsonFormatter() if style == "json" else logging.Formatter(TEXT))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for name in ("httpx", "httpx2", "mcp"):  # they log URLs and session ids, which may hold secrets
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)  # its start-up lines repeat ours
