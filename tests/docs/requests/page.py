"""docs/api-requests.md as text, from what a server answers to the requests of `story`."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.docs.requests.story import GROUPS, Step
from tests.server.keyed import Keyed

WIDTH = 98
SHORT = 60
"""Characters of a text that are shown."""

TIMES = re.compile(r"^\d{10}(\d{9}|\.\d+)?$")
IDS = re.compile(r"\b([a-z]{2,8})[_-]([0-9a-zA-Z]{16,}|[0-9a-f-]{36})\b")
VOLATILE = {
    "memory",
    "size",
    "usage_bytes",
    "disk",
    "used",
    "busy",
    "score",
    "cpu_seconds",
    "memory_byte_seconds",
}
"""Fields whose values differ from run to run."""

HEAD = """# Requests and answers

One request and one answer for each endpoint of [the HTTP API](api.md), as a server gave them.
Ids are shortened, times and sizes are examples, long texts and lists end with `…`, fields that are
null or empty are left out, and an object that has not changed is `as above`. `file=@NAME` is a part
of a multipart form.
"""


class Page:
    """Asks a server, and writes down what it answers."""

    def __init__(self, server: Keyed) -> None:
        self._server = server
        self._kept: dict[str, str] = {}
        self._shown: dict[str, str] = {}
        self._objects: dict[str, dict[str, Any]] = {}

    def text(self) -> str:
        """Return the page."""
        parts = [HEAD]
        for title, steps in GROUPS.items():
            blocks = "\n\n".join(self._block(step) for step in steps)
            parts.append(f"## {title}\n\n```http\n{blocks}\n```\n")
        return "\n".join(parts)

    def _block(self, step: Step) -> str:
        answer = self._asked(step)
        line = f"{step.method} {self._short(self._filled(step.path))}"
        lines = [line + self._given(step, len(line))]
        lines.append(f"HTTP {answer.status_code}")
        kind = answer.headers.get("content-type", "")
        if kind.startswith("application/json"):
            said = answer.json()
            said = {name: said[name] for name in step.shown or said}
            lines[-1] += " " + written(self._cleaned(said), before=len(lines[-1]) + 1)
        elif kind.startswith("text/plain"):
            lines.append(cut(answer.text.rstrip("\n").partition("\n")[0], SHORT))
        else:
            lines[-1] += f" {kind or 'application/octet-stream'}"
        return "\n".join(lines)

    def _asked(self, step: Step) -> Any:
        more: dict[str, Any] = {}
        if step.json is not None:
            more["json"] = json.loads(self._filled(json.dumps(step.json)))
        if step.file is not None:
            field, name, content = step.file
            more["files"] = {field: (name, content)}
            more["data"] = dict(step.form or {})
        while True:
            answer = self._server.ask("", step.method, self._filled(step.path), **more)
            if not step.until or answer.json()["status"] == step.until:
                break
        if step.keep:
            said = answer.json()
            self._kept[step.keep] = said["id"] if "id" in said else said["data"][0]["id"]
        return answer

    def _filled(self, text: str) -> str:
        return re.sub(r"\$(\w+)", lambda found: self._kept[found[1]], text)

    def _given(self, step: Step, column: int) -> str:
        if step.json is not None:
            given = json.loads(self._short(self._filled(json.dumps(step.json))))
            return " " + written(given, before=column + 1)
        if step.file is not None:
            fields = [f"{step.file[0]}=@{step.file[1]}"]
            return " " + " ".join(fields + [f"{name}={value}" for name, value in (step.form or {}).items()])
        return ""

    def _short(self, text: str) -> str:
        """Return text with each id replaced by its kind and a number, the same each time."""

        def number(found: re.Match[str]) -> str:
            kind = found[1]
            if found[0] not in self._shown:
                before = sum(each.startswith(f"{kind}_") for each in self._shown.values())
                self._shown[found[0]] = f"{kind}_{before + 1}"
            return self._shown[found[0]]

        return IDS.sub(number, text)

    def _cleaned(self, value: Any, name: str = "") -> Any:
        if isinstance(value, dict):
            return self._new({each: self._cleaned(held, each) for each, held in value.items()})
        if isinstance(value, list):
            first = [self._cleaned(each) for each in value[:2]]
            return [*first, "…"] if len(value) > 2 else first
        if isinstance(value, str):
            return cut(self._short(value), SHORT)
        if name in VOLATILE and isinstance(value, int | float):
            return 1024 if isinstance(value, int) else 0.5
        if not isinstance(value, bool) and TIMES.match(str(value)):
            return 1800000000
        return value

    def _new(self, value: dict[str, Any]) -> dict[str, Any]:
        """Return an object without what is empty; one that was shown before is only named."""
        value = {self._short(name): held for name, held in value.items() if held not in (None, [], {}, "")}
        if "id" not in value or len(value) < 4:
            return value
        before = self._objects.get(value["id"])
        self._objects[value["id"]] = value
        return {"id": value["id"], "…": "as above"} if before == value else value


def cut(text: str, most: int) -> str:
    """Return text with at most so many characters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def written(value: Any, indent: int = 0, before: int = 0) -> str:
    """Return JSON, with one line for each entry where it does not fit into one after `before` columns."""
    whole = json.dumps(value, ensure_ascii=False)
    if len(whole) + max(indent, before) <= WIDTH or not isinstance(value, dict | list) or not value:
        return whole
    inside = " " * (indent + 2)
    if isinstance(value, dict):
        lines = [
            f"{inside}{json.dumps(name)}: {written(held, indent + 2, indent + len(name) + 7)}"
            for name, held in value.items()
        ]
        return "{\n" + ",\n".join(lines) + "\n" + " " * indent + "}"
    return (
        "[\n" + ",\n".join(inside + written(each, indent + 2) for each in value) + "\n" + " " * indent + "]"
    )
