"""A chain of stored turns as exchanges: what the user asked, the work done for it, and the answer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from agent_kernel.conversion.transcript import is_picture, pictures_of
from agent_kernel.models.catalogue import DIRECT, PYTHON
from agent_kernel.models.conversation import text_of
from agent_kernel.protocol.calls import is_rejected, json_key, rejection_of
from agent_kernel.runtime.approvals.items import carried_out
from agent_kernel.store.records import ResponseRow

Json = Mapping[str, Any]

BY_USER = (DIRECT, PYTHON)
"""The models of turns in which the user ran something."""

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_FOLDERS = re.compile(r"^(scripted|replay)/.*/")
_TRACEBACK = re.compile(r"^Traceback \(most recent call last\):$", re.MULTILINE)


@dataclass(frozen=True)
class WorkStep:
    """A command or a piece of code that ran. `language` is `shell`, `python`, `r`, or else a function's name.

    `ended` is empty if it succeeded; otherwise it says how it ended: `exit 1`, `ValueError: ...`.
    """

    language: str
    code: str
    stdout: str = ""
    stderr: str = ""
    ended: str = ""
    pictures: tuple[str, ...] = ()
    """`data:` URLs."""


@dataclass(frozen=True)
class Exchange:
    """One prompt of the user's, or one command of theirs (`by_user`), with what followed."""

    prompt: str
    model: str
    created_at: float
    by_user: bool = False
    steps: tuple[WorkStep, ...] = ()
    reasoning: str = ""
    answer: str = ""
    ended: str = ""
    """Why it did not end by itself; empty if it did."""
    tokens: int = 0


def exchanges(rows: Sequence[ResponseRow]) -> list[Exchange]:
    """Return the exchanges of a chain, oldest first. A turn without a prompt belongs to the one before."""
    work = _Work(rows)
    found: list[Exchange] = []
    for row in rows:
        turn = _exchange(row, work)
        if turn.prompt or not found:
            found.append(turn)
        else:
            found[-1] = _continued(found[-1], turn)
    return found


def models_of(found: Sequence[Exchange]) -> list[str]:
    """Return the names of the models that answered, as `model_name`."""
    return list(dict.fromkeys(model_name(each.model) for each in found if not each.by_user))


def model_name(model: str) -> str:
    """Return a model's name for readers. Of one that is a file, the folders are left out."""
    return _FOLDERS.sub(r"\1/", model)


def _exchange(row: ResponseRow, work: _Work) -> Exchange:
    prompts = [item for item in row.input if item["type"] == "message" and item.get("role") == "user"]
    output = row.response["output"]
    answers = [text_of(item["content"]) for item in output if item["type"] == "message"]
    thoughts = [text_of(item.get("summary")) for item in output if item["type"] == "reasoning"]
    usage = row.response.get("usage") or {}
    return Exchange(
        prompt="\n\n".join(filter(None, (text_of(item.get("content")).strip() for item in prompts))),
        model=row.model,
        created_at=row.created_at,
        by_user=row.model in BY_USER,
        steps=tuple(step for item in output for step in work.steps(item, row)),
        reasoning="\n\n".join(filter(None, thoughts)),
        answer="\n\n".join(filter(None, answers)),
        ended=_ending(row),
        tokens=int(usage.get("total_tokens") or 0),
    )


def _continued(before: Exchange, turn: Exchange) -> Exchange:
    return replace(
        before,
        steps=(*before.steps, *turn.steps),
        reasoning="\n\n".join(filter(None, (before.reasoning, turn.reasoning))),
        answer="\n\n".join(filter(None, (before.answer, turn.answer))),
        ended=turn.ended,
        tokens=before.tokens + turn.tokens,
    )


def _ending(row: ResponseRow) -> str:
    if row.status == "completed":
        return ""
    details = row.response.get("incomplete_details") or row.response.get("error") or {}
    why = details.get("message") or str(details.get("reason") or "").removeprefix("agent_kernel.")
    return why or row.status


class _Work:
    """The calls of a chain with their outputs, which may be in a later turn."""

    def __init__(self, rows: Sequence[ResponseRow]) -> None:
        items = [item for row in rows for item in (*row.input, *row.response["output"])]
        self._outputs = {item["call_id"]: item for item in items if item["type"].endswith("_output")}
        self._waited = carried_out(items)

    def steps(self, item: Json, row: ResponseRow) -> Iterator[WorkStep]:
        if is_rejected(item):
            yield WorkStep(str(item.get("name")), str(item.get("arguments") or ""), ended=rejection_of(item))
        elif item["type"] == "shell_call":
            yield from _commands(item, self._outputs.get(item["call_id"], {}))
        elif item["type"] == "code_interpreter_call" and json_key(item) not in self._waited:
            yield _code(item, _language(row))
        elif item["type"] == "function_call":
            output = self._outputs.get(item["call_id"], {}).get("output")
            told = output if isinstance(output, str) else text_of(output)
            yield WorkStep(str(item["name"]), str(item["arguments"]), told)


def _commands(call: Json, output: Json) -> Iterator[WorkStep]:
    contents = list(output.get("output") or ())
    for place, command in enumerate(call["action"]["commands"]):
        content = contents[place] if place < len(contents) else {}
        outcome = content.get("outcome") or {}
        code = outcome.get("exit_code")
        ended = "not run" if not outcome else "timed out" if outcome.get("type") == "timeout" else ""
        ended = ended or (f"exit {code}" if code else "")
        yield WorkStep("shell", command, content.get("stdout") or "", content.get("stderr") or "", ended)


def _language(row: ResponseRow) -> str:
    for spec in row.request.get("tools") or ():
        if spec.get("type") == "code_interpreter":
            return str((spec.get("agent_kernel") or {}).get("language") or "python")
    return "python"


def _code(item: Json, language: str) -> WorkStep:
    code = str(item.get("code") or "")
    ended = "" if item.get("status") == "completed" else "did not run to its end"
    outputs = (item.get("agent_kernel") or {}).get("outputs")
    if not isinstance(outputs, list):
        logs = _logs(item)
        return WorkStep(language, code, logs, "", _raised_in(logs) or ended, tuple(pictures_of(item)))
    pictures = tuple(displayed_in(outputs))
    return WorkStep(
        language, code, printed_in(outputs), _errors(outputs), _raised(outputs) or ended, pictures
    )


def _logs(item: Json) -> str:
    outputs = item.get("outputs")
    listed = outputs if isinstance(outputs, list) else []
    return "".join(str(each.get("logs") or "") for each in listed if each.get("type") == "logs")


def printed_in(outputs: Sequence[Json]) -> str:
    """Return what code printed and showed as text, without errors. A value ends its line."""
    texts = []
    for each in outputs:
        if each.get("output_type") == "stream" and each.get("name") == "stdout":
            texts.append(str(each.get("text") or ""))
        elif not _picture(each) and isinstance(text := (each.get("data") or {}).get("text/plain"), str):
            texts.append(f"{text}\n")
    return "".join(texts)


def displayed_in(outputs: Sequence[Json]) -> Iterator[str]:
    """Yield the pictures that code has shown, as `data:` URLs."""
    yield from (url for each in outputs if (url := _picture(each)))


def _errors(outputs: Sequence[Json]) -> str:
    texts = []
    for each in outputs:
        if each.get("output_type") == "stream" and each.get("name") == "stderr":
            texts.append(str(each.get("text") or ""))
        elif each.get("output_type") == "error":
            texts.append(_COLOUR.sub("", "\n".join(each.get("traceback") or ())) + "\n")
    return "".join(texts)


def _raised(outputs: Sequence[Json]) -> str:
    errors = [each for each in outputs if each.get("output_type") == "error"]
    return f"{errors[-1].get('ename')}: {_first_line(errors[-1].get('evalue'))}" if errors else ""


def _raised_in(logs: str) -> str:
    plain = _COLOUR.sub("", logs).rstrip()
    return plain.rpartition("\n")[2] if _TRACEBACK.search(plain) else ""


def _picture(output: Json) -> str:
    data = output.get("data") or {}
    kind = next((name for name in ("image/png", "image/jpeg") if isinstance(data.get(name), str)), None)
    url = f"data:{kind};base64,{data[kind]}" if kind else ""
    return url if is_picture(url) else ""


def _first_line(text: object) -> str:
    return str(text or "").partition("\n")[0]
