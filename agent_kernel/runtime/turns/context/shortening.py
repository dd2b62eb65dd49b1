"""Shortens tool output and messages for the model. Stored items are never changed.

A long text keeps its head and its tail. The line between them has the path of the command's log in the
container, if the text names one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agent_kernel.runtime.turns.context.estimate import CHARACTERS, NOT_TEXT, estimate

Json = Mapping[str, Any]

_LOG = re.compile(r"\[\.\.\. \d+ characters left out; the log is (\S+) \.\.\.\]")
_OLD = (20_000, 8_000, 2_000, 500)
"""Characters of each text in old tool output, from the mildest level to the strictest."""
_SHARES = (2, 4, 8, 16, 32)
"""The newest tool output gets this fraction of the room for each text, once old output is at its shortest."""
_LEAST = 200
SUMMARY = "Summary of the conversation so far:\n\n"
"""The beginning of the message that replaces earlier items."""
_SUMMARY = 2_000
"""Characters that a summary keeps at least."""
_MESSAGES = (8_000, 2_000, 500)
"""Characters of each text in old messages, if tool output is at its shortest."""
_LONGEST_PATH = 1000
SCREENSHOT = "computer_screenshot"
_FILES = ("input_image", "input_file", "input_audio", SCREENSHOT)
_LEFT_OUT = "[a file or image is left out here]"
_FILES_FROM = 2_000
"""Images and files in tool output are left out from this level on."""


def shorten(items: Sequence[Json], room: int, *, messages: bool = False) -> Sequence[Json]:
    """Return the items with tool output shortened as little as needed to have about `room` tokens.

    The oldest output is shortened first, and that of the last step least. `messages` allows to shorten
    messages too, and to leave out the oldest; but not the last one of the user, and not a summary. The result
    may have more tokens than `room`.
    """
    found = items
    for limits in _levels(room, messages):
        if estimate(found) <= room:
            return found
        found = _limited(items, *limits)
    return _without_oldest(found, room) if messages else found


def cut(text: str, limit: int, log: str | None = None) -> str:
    """Return a text of about `limit` characters: its head, a line about what is left out, and its tail.

    `log` is the path of a file with the whole text, unless the text names one itself.
    """
    if len(text) <= limit:
        return text
    head, tail = text[: limit - limit // 2], text[len(text) - limit // 2 :]
    named = _LOG.search(text)
    path = named[1] if named else log
    where = f"; the log is {path}" if path else ""
    return f"{head}\n[... {len(text) - limit} characters left out{where} ...]\n{tail}"


def _levels(room: int, messages: bool) -> Iterator[tuple[int, int | None, int | None]]:
    """Yield the limits of old output, of the newest output and of messages, in characters."""
    yield from ((old, None, None) for old in _OLD)
    for share in _SHARES:
        newest = max(_LEAST, room * CHARACTERS // share)
        yield min(_OLD[-1], newest), newest, None
    if messages:
        yield from ((_LEAST, _OLD[-1], limit) for limit in _MESSAGES)
        yield _LEAST, _LEAST, _LEAST


def _limited(items: Sequence[Json], old: int, newest: int | None, messages: int | None) -> list[Json]:
    last_step = _last_step(items)
    question = _last_question(items)
    limited: list[Json] = []
    for place, item in enumerate(items):
        kind, limit = str(item.get("type")), old if place < last_step else newest
        if kind.endswith("_output"):
            limited.append(_with(item, "output", limit))
        elif is_summary_message(item):
            limited.append(_with(item, "content", None if messages is None else max(messages, _SUMMARY)))
        elif kind == "message" and place != question:
            limited.append(_with(item, "content", messages))
        else:
            limited.append(item)
    return limited


def _without_oldest(items: Sequence[Json], room: int) -> Sequence[Json]:
    """Leave out messages before the user's last one, the oldest first, then calls with their output."""
    question = max(0, _last_question(items))
    later = {item.get("call_id") for item in items[question:]}
    before = [(place, item) for place, item in enumerate(items[:question]) if not _is_compaction(item)]
    talk = [place for place, item in before if item.get("type") in ("message", "reasoning")]
    work = [place for place, item in before if place not in talk and item.get("call_id") not in later]
    excess, gone = estimate(items) - room, set[int]()
    for place in (*talk, *work):
        if excess <= 0:
            break
        gone.add(place)
        excess -= estimate([items[place]])
    calls = {items[place].get("call_id") for place in gone} - {None}
    return [
        item
        for place, item in enumerate(items)
        if place not in gone and not (place < question and item.get("call_id") in calls)
    ]


def _is_compaction(item: Json) -> bool:
    return item.get("type") == "compaction" or is_summary_message(item)


def is_summary_message(item: Json) -> bool:
    """Return whether a message is the summary that replaces earlier items."""
    content = item.get("content")
    part = content[0] if isinstance(content, list) and content else None
    text = part.get("text") if isinstance(part, Mapping) else content
    return item.get("role") == "developer" and isinstance(text, str) and text.startswith(SUMMARY)


def _last_step(items: Sequence[Json]) -> int:
    """Return the place after which there is only the output of the last step."""
    place = len(items)
    while place > 0 and str(items[place - 1].get("type")).endswith("_output"):
        place -= 1
    return place


def _last_question(items: Sequence[Json]) -> int:
    """Return the place of the user's last message, -1 without one."""
    for place in range(len(items) - 1, -1, -1):
        if items[place].get("type") == "message" and items[place].get("role") == "user":
            return place
    return -1


def _with(item: Json, name: str, limit: int | None) -> Json:
    value = item.get(name)
    if limit is None:
        return item
    if isinstance(value, str):
        return {**item, name: cut(value, limit)} if len(value) > limit else item
    if isinstance(value, Mapping) and value.get("type") == SCREENSHOT and limit <= _FILES_FROM:
        return {**item, name: {"type": SCREENSHOT, "agent_kernel": {"said": [_LEFT_OUT]}}}
    if not isinstance(value, list):
        return item
    return {**item, name: [_part(part, limit, is_output=name == "output") for part in value]}


def _part(part: Any, limit: int, *, is_output: bool) -> Any:
    if not isinstance(part, Mapping):
        return part
    if part.get("type") in _FILES:
        if not is_output or limit > _FILES_FROM:
            return part
        return {"type": "input_text", "text": _LEFT_OUT}
    log = _log_of(part)
    return {
        name: cut(value, limit, log) if isinstance(value, str) and name not in NOT_TEXT else value
        for name, value in part.items()
    }


def _log_of(content: Mapping[str, Any]) -> str | None:
    """Return the log of a command's output; see docs/extensions.md. A client may have sent anything there."""
    ours = content.get("agent_kernel")
    log = ours.get("log") if isinstance(ours, Mapping) else None
    return log if isinstance(log, str) and len(log) <= _LONGEST_PATH else None
