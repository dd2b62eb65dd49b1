"""The messages of the extension's comm; docs/extension-protocol.md describes them. Pure.

Everything that arrives is checked here: a page may send anything.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent_kernel.errors import AgentKernelError, InvalidRequest

VERSION = 1
TARGET = "agent_kernel"

LONGEST_ID = 64
LONGEST_TEXT = 100_000
"""Characters of one text in a request."""

MOST_BUFFERS = 1
LARGEST_BUFFER = 1 << 20


@dataclass(frozen=True)
class PanelRequest:
    """A request of the page: what is asked, its arguments, and at most `MOST_BUFFERS` buffers.

    `page` is the comm that it came from.
    """

    id: str
    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    buffers: Sequence[bytes] = ()
    page: str = ""

    def only(self, names: Collection[str]) -> None:
        """Raise `InvalidRequest` if there is an argument with another name."""
        unknown = [name for name in self.arguments if name not in names]
        if unknown:
            raise InvalidRequest(f"{self.name} has no argument {str(unknown[0])[:LONGEST_ID]!r}.")

    def text(self, name: str, *, longest: int = LONGEST_TEXT) -> str:
        """Return an argument that must be a string. Raises `InvalidRequest`."""
        value = self.arguments.get(name)
        if not isinstance(value, str) or not value:
            raise InvalidRequest(f"{self.name} needs a text as {name}.")
        if len(value) > longest:
            raise InvalidRequest(f"{name} has more than {longest:,} characters.")
        return value

    def truth(self, name: str) -> bool:
        """Return an argument that may be true or false; false if it is missing. Raises `InvalidRequest`."""
        value = self.arguments.get(name, False)
        if not isinstance(value, bool):
            raise InvalidRequest(f"{self.name} needs true or false as {name}.")
        return value

    def number(self, name: str, *, most: int) -> int:
        """Return an argument that must be a whole number from 0 to `most`. Raises `InvalidRequest`."""
        value = self.arguments.get(name)
        if type(value) is not int or not 0 <= value <= most:
            raise InvalidRequest(f"{self.name} needs a whole number from 0 to {most:,} as {name}.")
        return value


class WithBuffer(dict[str, Any]):
    """A result with bytes, which travel beside the JSON."""

    def __init__(self, buffer: bytes, **result: Any) -> None:
        super().__init__(result)
        self.buffer = buffer


def request_id(data: object) -> str | None:
    """Return the id under which a message can be answered; None if it has none."""
    found = data.get("id") if isinstance(data, Mapping) else None
    return found if isinstance(found, str) and 0 < len(found) <= LONGEST_ID else None


def read_request(data: object, buffers: Sequence[Any], page: str = "") -> PanelRequest:
    """Return the request in a message. Raises `InvalidRequest`."""
    if not isinstance(data, Mapping) or (identifier := request_id(data)) is None:
        raise InvalidRequest("The message is not a request.")
    if data.get("version") != VERSION or isinstance(data.get("version"), bool):
        raise InvalidRequest(
            f"This kernel speaks version {VERSION} of the extension's protocol.",
            hint="Install the same version of jupyter-agent-kernel for JupyterLab and for the kernel.",
        )
    name, arguments = data.get("request"), data.get("arguments", {})
    if not isinstance(name, str) or not isinstance(arguments, Mapping):
        raise InvalidRequest("A request needs a name, and an object of arguments.")
    if len(buffers) > MOST_BUFFERS or any(memoryview(each).nbytes > LARGEST_BUFFER for each in buffers):
        raise InvalidRequest(f"A request has at most one buffer, of at most {LARGEST_BUFFER:,} bytes.")
    return PanelRequest(identifier, name, arguments, [bytes(each) for each in buffers], page)


def reply(identifier: str, result: Mapping[str, Any]) -> dict[str, Any]:
    """Return the answer to a request."""
    return {"version": VERSION, "reply": identifier, "result": dict(result)}


def refusal(identifier: str, error: AgentKernelError) -> dict[str, Any]:
    """Return the answer to a request that failed: what happened, the next step, and the field at fault."""
    from agent_kernel.kernel.render.text import clean

    told = {
        "message": clean(error.message),
        "hint": clean(error.hint) if error.hint else None,
        "field": error.param if isinstance(error, InvalidRequest) else None,
    }
    return {"version": VERSION, "reply": identifier, "error": told}


def push(name: str, value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message that answers no request."""
    return {"version": VERSION, "push": name, "value": dict(value)}
