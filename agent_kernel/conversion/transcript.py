"""A chain of stored turns as one conversation, with this server's tools as functions.

Other providers know functions only. So each call of the shell and of the code interpreter becomes a
`function_call` and its `function_call_output`, and the pictures that code has shown are parts of the output.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agent_kernel.errors import InvalidRequest
from agent_kernel.protocol.calls import is_rejected, json_key
from agent_kernel.runtime.approvals.items import in_order
from agent_kernel.runtime.turns.history import History, join
from agent_kernel.runtime.turns.input_items import output_of
from agent_kernel.store.records import ResponseRow
from agent_kernel.tools.catalogue import catalogue
from agent_kernel.tools.one_item import expanded
from agent_kernel.tools.request import read_tools

Json = Mapping[str, Any]

_PICTURE = re.compile(r"data:image/(?:png|jpeg|gif|webp);base64,")


def conversation(rows: Sequence[ResponseRow]) -> list[Json]:
    """Return all messages and calls of a chain, oldest first; every call is followed by its output.

    Calls that wait for the client, reasoning, approvals and summaries of a full context window are left out.
    """
    history = History()
    for row in rows:
        history = history.after(row)
    waiting = _unanswered(history)
    items = [item for item in join(history, (), waiting) if item.get("call_id") not in waiting]
    pictures = {json_key(item): shown for item in items if (shown := pictures_of(item))}
    return [told for item in expanded(in_order(items)) if (told := _as_function(item, pictures)) is not None]


def pictures_of(item: Json) -> list[str]:
    """Return the pictures that an item of the code interpreter has shown, as `data:` URLs."""
    outputs = item.get("outputs")
    found = outputs if isinstance(outputs, list) else []
    urls = [each.get("url") for each in found if isinstance(each, Mapping) and each.get("type") == "image"]
    return [url for url in urls if isinstance(url, str) and is_picture(url)]


def is_picture(url: str) -> bool:
    """Return whether a URL holds a picture in a form that browsers and models take."""
    kind = _PICTURE.match(url)
    try:
        return kind is not None and bool(base64.b64decode(url[kind.end() :], validate=True))
    except ValueError:
        return False


def instructions(rows: Sequence[ResponseRow]) -> str | None:
    """Return the newest instructions, None if no turn had any."""
    given = (row.request.get("instructions") for row in reversed(rows))
    return next((text for text in given if isinstance(text, str) and text), None)


def functions(rows: Sequence[ResponseRow]) -> list[Json]:
    """Return the newest turn's tools as functions: `name`, `description`, `parameters`.

    Tools that this version does not have are left out.
    """
    found: dict[str, Json] = {}
    for spec in next((row.request["tools"] for row in reversed(rows) if row.request.get("tools")), ()):
        try:
            entries = read_tools([spec])
        except InvalidRequest:  # of another version, or of a package that is not installed here
            continue
        for entry in entries:
            own = entry.tool.repeated
            name = str(entry.spec.get("name")) if own else entry.tool.type
            found.setdefault(name, {"name": name, **(entry.spec if own else entry.tool.function_spec(entry))})
    return [_function(spec) for spec in found.values()]


def _function(spec: Json) -> Json:
    made = {name: spec[name] for name in ("name", "description") if spec.get(name)}
    return {**made, "parameters": spec.get("parameters") or {"type": "object", "properties": {}}}


def _unanswered(history: History) -> set[Any]:
    """Return the ids of calls that the client has not answered: the conversation may end with some."""
    outputs = output_of()
    answered = {item.get("call_id") for item in history.items if item["type"] in outputs.values()}
    calls = {item.get("call_id") for item in history.items if item["type"] in outputs}
    asked = {
        (item.get("agent_kernel") or {}).get("call_id")
        for item in history.items
        if item["type"] == "mcp_approval_request"
    }
    return calls - answered - history.stopped - asked


def _as_function(item: Json, pictures: Mapping[str, Sequence[str]]) -> Json | None:
    kind = item["type"]
    if is_rejected(item):  # `translate` knows how
        return item
    if (tool := catalogue().of_call(kind)) is not None and not tool.by_client:
        arguments = tool.arguments_text(item)
        return {
            "type": "function_call",
            "call_id": item["call_id"],
            "name": tool.type,
            "arguments": arguments,
        }
    if (tool := catalogue().of_output(kind)) is not None and not tool.by_client:
        text, shown = tool.result(item), pictures.get(item["call_id"], ())
        output = [*_parts(text, shown)] if shown else text
        return {"type": "function_call_output", "call_id": item["call_id"], "output": output}
    return None if kind in ("reasoning", "compaction") else item


def _parts(text: str, pictures: Sequence[str]) -> Iterator[Json]:
    yield {"type": "input_text", "text": text}
    for url in pictures:
        yield {"type": "input_image", "image_url": url}
