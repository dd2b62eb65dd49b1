"""JSON of an upstream with attributes, and answers that are one body although a stream was asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


class Lenient(dict[str, Any]):
    """JSON with attributes, as the `openai` package's objects have them; an absent field is None.

    It is a dict, so that a field of any form can be written as JSON again.
    """

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        value = self.get(name)
        if value is None and name.startswith("__"):
            raise AttributeError(name)
        return wrapped(value) if isinstance(value, dict | list) else value

    def to_dict(self, **_: Any) -> dict[str, Any]:
        """Return the JSON."""
        return dict(self)


def wrapped(value: Any) -> Any:
    """Return JSON with its objects as `Lenient`."""
    if isinstance(value, Mapping):
        return Lenient(value)
    return [wrapped(each) for each in value] if isinstance(value, list) else value


def events_of(body: Any) -> Iterator[dict[str, Any]]:
    """Yield the one event that a body of a dialect stands for; none for any other body."""
    if not isinstance(body, Mapping):
        return
    if body.get("object") == "response" or isinstance(body.get("output"), list):
        status = body.get("status")
        known = status in ("completed", "incomplete", "failed")
        kind = status if known else "failed" if body.get("error") else "completed"
        yield {"type": f"response.{kind}", "response": body}
    elif isinstance(body.get("choices"), list):
        choices = [each if isinstance(each, Mapping) else {} for each in body["choices"]]
        yield {**body, "choices": choices}
    elif body.get("type") == "message" and isinstance(body.get("content"), list):  # of the Messages API
        yield dict(body)


def message_of(choice: Mapping[str, Any]) -> dict[str, Any]:
    """Return the message of a choice, with its calls numbered as they are in a delta."""
    given = choice.get("message")
    message = dict(given) if isinstance(given, Mapping) else {}
    calls = message.get("tool_calls")
    if isinstance(calls, list):
        message["tool_calls"] = [
            {**each, "index": n} for n, each in enumerate(calls) if isinstance(each, Mapping)
        ]
    return message
