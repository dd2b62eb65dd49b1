"""The events that are to be delivered: one file for each background turn, in a folder of the data folder.

A turn's file is written before it is queued, so that its event is owed whatever becomes of the process. It
gets the event once the turn has ended, and is removed when every endpoint has it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

_SUFFIX = ".json"


@dataclass
class Attempts:
    """The attempts at one endpoint so far. `next_at` in seconds since 1970."""

    count: int = 0
    next_at: float = 0.0


@dataclass
class Owed:
    """The event of a turn. `kind` is empty while the turn runs; times are in seconds since 1970."""

    response_id: str
    key: str | None = None
    """The name of the API key whose turn it is; None: not known, so only addresses of all keys are told."""
    id: str = ""
    """The same on every server that may deliver the turn's end."""
    begun_at: float = field(default_factory=time.time)
    kind: str = ""
    ended_at: int = 0
    left: dict[str, Attempts] = field(default_factory=dict)
    """By endpoint. Endpoints that are not here have the event."""

    def __post_init__(self) -> None:
        if not self.id:
            digest = hashlib.sha256(f"agent_kernel.webhook {self.response_id}".encode())
            self.id = f"evt_{digest.hexdigest()[:32]}"

    def body(self) -> str:
        """Return the event as the API has it."""
        event = {
            "id": self.id,
            "object": "event",
            "created_at": self.ended_at,
            "type": self.kind,
            "data": {"id": self.response_id},
        }
        return json.dumps(event)

    @classmethod
    def read(cls, stored: Mapping[str, Any]) -> Owed:
        """Return what a file holds. Raises `ValueError`, `TypeError`, `KeyError` for one that is damaged."""
        left = {url: Attempts(int(a["count"]), float(a["next_at"])) for url, a in stored["left"].items()}
        return cls(**{**stored, "left": left})


class Outbox:
    """The files of a folder, which is made when it is first written to. Files are replaced atomically."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, owed: Owed) -> None:
        """Write an event. Raises `OSError`."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self._path(owed.response_id)
        part = path.with_suffix(f".{secrets.token_hex(4)}.part")
        part.write_text(json.dumps(asdict(owed)))
        part.rename(path)

    def get(self, response_id: str) -> Owed | None:
        """Return the event of a turn, None if none is owed. A damaged file is removed."""
        path = self._path(response_id)
        try:
            return Owed.read(json.loads(path.read_text()))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError, AttributeError):
            log.exception("The webhook event in %s cannot be read and is removed.", path)
            path.unlink(missing_ok=True)
            return None

    def remove(self, response_id: str) -> None:
        """Forget an event."""
        self._path(response_id).unlink(missing_ok=True)

    def all(self) -> Iterator[Owed]:
        """Yield the events that are owed."""
        for path in sorted(self.folder.glob(f"*{_SUFFIX}")):
            if (owed := self.get(path.stem)) is not None:
                yield owed

    def _path(self, response_id: str) -> Path:
        return self.folder / f"{response_id}{_SUFFIX}"
