"""Answers that are one JSON body although a stream was asked for, as events of a stream."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


class Lenient:
    """JSON with attributes, as the `openai` package's objects have them; an absent field is None."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self._data = data

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return wrapped(self._data.get(name))

    def to_dict(self, **_: Any) -> dict[str, Any]:
        """Return the JSON."""
        return dict(self._data)


def wrapped(value: Any) -> Any:
    """Return JSON with its objects as `Lenient`."""
    if isinstance(value, Mapping):
        return Lenient(value)
    return [wrapped(each) for each in value] if isinstance(value, list) else value


def events_of(body: Any) -> Iterator[Any]:
    """Yield the one event that a body of either dialect stands for; none for any other body."""
    if not isinstance(body, Mapping):
        return
    if body.get("object") == "response" or isinstance(body.get("output"), list):
        status = body.get("status")
        known = status in ("completed", "incomplete", "failed")
        kind = status if known else "failed" if body.get("error") else "completed"
        yield Lenient({"type": f"response.{kind}", "response": body})
    elif isinstance(body.get("choices"), list):
        choices = [each if isinstance(each, Mapping) else {} for each in body["choices"]]
        yield Lenient({**body, "choices": choices})


def message_of(choice: Any) -> Lenient:
    """Return the message of a choice, with its calls numbered as they are in a delta."""
    given = getattr(choice, "message", None)
    message = given.to_dict() if isinstance(given, Lenient) else given
    message = dict(message) if isinstance(message, Mapping) else {}
    calls = message.get("tool_calls")
    if isinstance(calls, list):
        message["tool_calls"] = [
            {**each, "index": n} for n, each in enumerate(calls) if isinstance(each, Mapping)
        ]
    return Lenient(message)
