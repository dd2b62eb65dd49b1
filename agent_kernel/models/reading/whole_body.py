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
        kind = status if status in ("completed", "incomplete", "failed") else "completed"
        yield Lenient({"type": f"response.{kind}", "response": body})
    elif isinstance(body.get("choices"), list):
        yield Lenient({**body, "choices": [_choice(each) for each in body["choices"]]})


def _choice(choice: Any) -> Any:
    if not isinstance(choice, Mapping):
        return {}
    message = choice.get("message")
    message = dict(message) if isinstance(message, Mapping) else {}
    calls = message.get("tool_calls")
    if isinstance(calls, list):
        message["tool_calls"] = [
            {**each, "index": n} for n, each in enumerate(calls) if isinstance(each, Mapping)
        ]
    return {**choice, "delta": message}


def error_in(body: Any) -> tuple[object, str] | None:
    """Return the code and the message of an error object, at the top or under `error`."""
    if not isinstance(body, Mapping):
        return None
    error = body.get("error")
    if isinstance(error, str):
        return None, error
    found = error if isinstance(error, Mapping) else body
    if isinstance(found.get("message"), str) and "choices" not in body and "output" not in body:
        kind = found.get("type") if found.get("type") != "error" else None
        return kind or found.get("code"), found["message"]
    return None
