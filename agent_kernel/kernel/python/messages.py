"""Outputs of code as messages of a Jupyter kernel. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agent_kernel.kernel.outputs import Message
from agent_kernel.kernel.render.code.display import displayed
from agent_kernel.kernel.render.code.outputs import DISPLAYS, PLAIN
from agent_kernel.kernel.render.stored import MAX_STORED
from agent_kernel.kernel.render.text import clean, clean_but_colours, clip

Json = Mapping[str, Any]


def message(output: Json, number: int) -> Message | None:
    """Return an output as a message of cell `In [number]`, safe to show; None for one of an unknown type."""
    kind = output.get("output_type")
    if kind == "stream":
        name = "stderr" if output.get("name") == "stderr" else "stdout"
        return kind, {"name": name, "text": _printed(clip(_text(output, "text"), MAX_STORED))}
    if kind == "error":
        lines = output.get("traceback")
        traceback = [clean_but_colours(str(line)) for line in lines] if isinstance(lines, list) else []
        name, value = clean(_text(output, "ename")), clean(_text(output, "evalue"))
        return kind, {"ename": name, "evalue": value, "traceback": traceback or [f"{name}: {value}"]}
    if kind == "clear_output":
        return kind, {"wait": output.get("wait") is True}
    return (str(kind), _display(output, number)) if kind in DISPLAYS else None


def _printed(text: str) -> str:
    """Return printed text without harmful characters. Front ends draw progress bars from carriage returns."""
    return "\r".join(map(clean_but_colours, text.split("\r")))


def _display(output: Json, number: int) -> dict[str, Any]:
    data = output.get("data")
    if isinstance(data, Mapping) and set(data) <= {PLAIN}:
        text = clean(clip(_text(data, PLAIN), MAX_STORED))
        content: dict[str, Any] = {"data": {PLAIN: text}, "metadata": {}}
    else:
        bundle = displayed(output, MAX_STORED)
        content = {"data": bundle.data, "metadata": bundle.metadata}
    if output["output_type"] == "execute_result":
        return {**content, "execution_count": number}
    name = display_id(output)
    return {**content, "transient": {} if name is None else {"display_id": name}}


def display_id(output: Json) -> str | None:
    """Return the id by which a display can be updated."""
    transient = output.get("transient")
    name = transient.get("display_id") if isinstance(transient, Mapping) else None
    return name if isinstance(name, str) else None


def _text(output: Json, name: str) -> str:
    value = output.get(name)
    return value if isinstance(value, str) else ""


def folded(outputs: Sequence[Json]) -> list[Json]:
    """Return what a notebook keeps of outputs that came one by one: joined, updated and cleared."""
    kept, clears = _Kept(), False
    for output in outputs:
        clear = output.get("output_type") == "clear_output"
        if clears or (clear and output.get("wait") is not True):
            kept = _Kept()
        clears = clear and output.get("wait") is True
        if not clear:
            kept.add(output)
    return kept.outputs()


class _Kept:
    """Outputs as a notebook keeps them. It takes linear time: a session decides how many there are."""

    def __init__(self) -> None:
        self._outputs: list[dict[str, Any]] = []
        self._pieces: list[str] = []
        """More text of the last output."""
        self._by_id: dict[str, dict[str, Any]] = {}

    def add(self, output: Json) -> None:
        """Add an output."""
        last = self._outputs[-1] if self._outputs else {}
        kind, name = output.get("output_type"), display_id(output)
        if kind == last.get("output_type") == "stream" and last.get("name") == output.get("name"):
            self._pieces.append(_text(output, "text"))
        elif kind == "update_display_data" and name in self._by_id:
            self._by_id[name].update(data=output.get("data"), metadata=output.get("metadata"))
        else:
            self._join()
            self._outputs.append(dict(output))
            if name is not None:
                self._by_id[name] = self._outputs[-1]

    def _join(self) -> None:
        if self._pieces:
            self._outputs[-1]["text"] = "".join([_text(self._outputs[-1], "text"), *self._pieces])
            self._pieces = []

    def outputs(self) -> list[Json]:
        """Return all."""
        self._join()
        return list(self._outputs)


def remaining(final: Sequence[Json], shown: Sequence[Json]) -> list[Json] | None:
    """Return the final outputs that follow those that were shown; None if those are not their start."""
    if not shown:
        return list(final)
    count = len(shown) - 1
    last, same = shown[count], final[count] if len(final) > count else {}
    if list(final[:count]) != list(shown[:count]):
        return None
    rest = list(final[count + 1 :])
    if last == same:
        return rest
    text, known = _text(same, "text"), _text(last, "text")
    if not known or not text.startswith(known) or last.get("name") != same.get("name"):
        return None
    return [{**same, "text": text[len(known) :]}, *rest]


def not_run(outputs: Sequence[Json]) -> dict[str, Any]:
    """Return the content of an `error` message for code that did not run to its end, and raised nothing."""
    said = "".join(_text(each, "text") for each in outputs if each.get("output_type") == "stream")
    words = clean(said.strip().rpartition("\n")[2].strip("[]")) or "The code did not run."
    return {"ename": "NotRun", "evalue": words, "traceback": [words]}
