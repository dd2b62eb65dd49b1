"""Answers questions about the session, between its cells. None of the answers is long."""

from __future__ import annotations

from agent_kernel.tools.code_interpreter.inside.variables import table, variables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MOST = 200
"""Completions."""

LONGEST = 200
"""Characters of a completion."""

LONGEST_HELP = 20_000


def answer(engine: Any, question: dict[str, Any]) -> dict[str, Any]:
    """Return the answer to a question. It has a field `failed` if the session cannot answer."""
    asked = question.get("ask")
    try:
        if asked == "complete":
            start, found = engine.complete(question["code"], question["cursor"])
            matches = [each for each in found if len(each) <= LONGEST]
            return {"matches": matches[:MOST], "start": start, "end": question["cursor"]}
        if asked == "inspect":
            text = engine.describe(question["code"], question["cursor"], question["detail"])
            return {"text": None if text is None else text[:LONGEST_HELP]}
        if asked == "variables":
            return variables(engine.variables())
        more = {"start": question.get("start"), "columns": question.get("columns")}
        given = {name: value for name, value in more.items() if value is not None}
        return table(engine.variables(), question["name"], question["rows"], question["path"], **given)
    except BaseException as error:  # noqa: BLE001 (objects of the user answer)
        return {"failed": type(error).__name__[:LONGEST]}
