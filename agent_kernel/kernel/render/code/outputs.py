"""The outputs of a call of code, whatever the server sends of them. Pure.

A server of this project sends everything that Jupyter would show, in the item's field `agent_kernel.outputs`;
others send logs and pictures. Both are read as Jupyter's outputs, and all of it is untrusted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from agent_kernel.kernel.render.endings import until_stop
from agent_kernel.kernel.render.stored import Item

Output = Mapping[str, Any]

CODE = "code_interpreter_call"
PLAIN = "text/plain"
PICTURES = ("image/png", "image/jpeg")
DISPLAYS = ("display_data", "execute_result", "update_display_data")

INTERRUPT = "KeyboardInterrupt"

_CHART = re.compile(r"application/vnd\.(plotly|vega|vegalite)\.v[0-9]{1,2}\+json")
_MOST_JSON = 200_000
"""Characters of the JSON of a chart that a notebook keeps."""


def outputs_of(item: Item) -> list[Output]:
    """Return the outputs of a call in order, without what only tells that it was stopped; see `stop_of`."""
    return _until_stop(item)[0]


def stop_of(item: Item) -> str | None:
    """Return in words how a call was stopped, None if it was not."""
    return _until_stop(item)[1]


def _until_stop(item: Item) -> tuple[list[Output], str | None]:
    outputs = _all_outputs(item)
    last = _text(outputs[-1]).rstrip("\n") if outputs and item.get("status") == "incomplete" else ""
    if (found := until_stop(last)) is None:
        return outputs, None
    printed, words = found
    kept = [*outputs[:-1], *([{**outputs[-1], "text": printed}] if printed else [])]
    return without_interrupt(kept), words


def without_interrupt(outputs: list[Output]) -> list[Output]:
    """Return outputs without the exception that stopped the code, which is told otherwise."""
    is_last = bool(outputs) and outputs[-1].get("output_type") == "error"
    return outputs[:-1] if is_last and outputs[-1].get("ename") == INTERRUPT else outputs


def _all_outputs(item: Item) -> list[Output]:
    ours = item.get("agent_kernel")
    rich = ours.get("outputs") if isinstance(ours, Mapping) else None
    given = rich if isinstance(rich, list) else item.get("outputs")
    parts = [each for each in given if isinstance(each, Mapping)] if isinstance(given, list) else []
    return parts if isinstance(rich, list) else list(_of_standard(parts))


def _of_standard(parts: list[Output]) -> Iterator[Output]:
    """Yield the standard's outputs as Jupyter's: the logs, then the pictures."""
    for part in parts:
        if part.get("type") == "logs":
            yield {"output_type": "stream", "name": "stdout", "text": part.get("logs")}
    for part in parts:
        if part.get("type") == "image":
            url = part.get("url")
            head, _, data = url.partition(",") if isinstance(url, str) else ("", "", "")
            kind = head.removeprefix("data:").removesuffix(";base64")
            known = kind in PICTURES and head == f"data:{kind};base64"
            yield {"output_type": "display_data", "data": {kind if known else PICTURES[0]: data}}


def _text(output: Output) -> str:
    return text if isinstance(text := output.get("text"), str) else ""


def is_text(output: Output) -> bool:
    """Return whether an output is text alone: printed, raised, or a value that has nothing but its text."""
    data = output.get("data")
    return output.get("output_type") not in DISPLAYS or (isinstance(data, Mapping) and set(data) <= {PLAIN})


def is_chart(output: Output) -> bool:
    """Return whether an output has the JSON of a chart."""
    data = output.get("data")
    return isinstance(data, Mapping) and any(_CHART.fullmatch(str(kind)) for kind in data)


def text_of(outputs: Iterable[Output]) -> str:
    """Return the text of all outputs: printed, raised, and of displays."""
    return "".join(map(words_of, outputs))


def words_of(output: Output) -> str:
    """Return the text of an output, with the end of its line."""
    lines, data = output.get("traceback"), output.get("data")
    if output.get("output_type") == "error":
        return "\n".join(map(str, lines)) + "\n" if isinstance(lines, list) else ""
    if not isinstance(data, Mapping):
        return _text(output)
    return f"{text}\n" if isinstance(text := data.get(PLAIN), str) and text else ""


def stored(item: Item) -> Item:
    """Return an item as the notebook keeps it: a call without the pictures and HTML that are outputs."""
    if item.get("type") != CODE:
        return item
    outputs = item.get("outputs")
    ours = item.get("agent_kernel")
    if isinstance(ours, Mapping) and isinstance(ours.get("outputs"), list):
        without = {name: value for name, value in item.items() if name != "outputs"}
        kept = [_kept(each) for each in ours["outputs"] if isinstance(each, Mapping)]
        return {**without, "agent_kernel": {**ours, "outputs": kept}}
    if not isinstance(outputs, list):
        return item
    return {**item, "outputs": [_kept_part(each) for each in outputs]}


def _kept_part(part: Any) -> Any:
    picture = isinstance(part, Mapping) and part.get("type") == "image"
    return {"type": "image"} if picture else part


def _kept(output: Output) -> Output:
    data = output.get("data")
    if not isinstance(data, Mapping):
        return output
    small = {kind: value for kind, value in data.items() if _is_kept(str(kind), value)}
    return {"output_type": output.get("output_type"), "data": small}


def _is_kept(kind: str, value: Any) -> bool:
    if kind.endswith("json"):
        return len(json.dumps(value)) <= _MOST_JSON
    return kind == PLAIN
