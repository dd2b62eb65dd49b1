"""A conversation as a Markdown page that reads well in a pull request: answers in full, the work folded."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from agent_kernel.conversion.exchanges import Exchange, WorkStep, exchanges, models_of
from agent_kernel.kernel.render.markdown import to_safe_markdown
from agent_kernel.kernel.render.text import clean, fence, fold, markdown_text
from agent_kernel.store.records import ResponseRow

HEAD, TAIL = 30, 10
"""Lines of an output that are shown."""
LONGEST_TITLE = 80

_FENCES = {"shell": "bash", "python": "python", "r": "r"}


@dataclass(frozen=True)
class MarkdownPage:
    """The page, and the pictures that it shows: the name of each file and its bytes."""

    text: str
    pictures: dict[str, bytes] = field(default_factory=dict)


def to_markdown(rows: Sequence[ResponseRow], title: str = "Conversation", folder: str = "") -> MarkdownPage:
    """Return the page. It links to its pictures in `folder`, a relative path."""
    found = exchanges(rows)
    page = _Page(folder)
    lines = [f"# {markdown_text(title)}", _about(found)]
    for number, each in enumerate(found, 1):
        lines += page.exchange(number, each)
    return MarkdownPage("\n\n".join(lines) + "\n", page.pictures)


def _about(found: Sequence[Exchange]) -> str:
    models = [markdown_text(name) for name in models_of(found)]
    day = time.strftime("%Y-%m-%d", time.gmtime(found[0].created_at)) if found else ""
    tokens = sum(each.tokens for each in found)
    count = f"{len(found):,} turn{'' if len(found) == 1 else 's'}"
    return " · ".join(filter(None, [", ".join(models), day, count, f"{tokens:,} tokens" if tokens else ""]))


class _Page:
    def __init__(self, folder: str) -> None:
        self.pictures: dict[str, bytes] = {}
        self._folder = f"{folder}/" if folder else ""

    def exchange(self, number: int, turn: Exchange) -> Iterator[str]:
        yield f"## {number}. {_title(turn)}"
        if turn.by_user:
            for step in turn.steps:
                yield from self._step(step)
        else:
            if turn.prompt.strip() != clean(turn.prompt).strip().partition("\n")[0][:LONGEST_TITLE]:
                yield "\n".join(f"> {line}".rstrip() for line in to_safe_markdown(turn.prompt).split("\n"))
            if turn.steps or turn.reasoning:
                yield from self._folded(turn)
        if turn.answer:
            yield to_safe_markdown(_closed(turn.answer.strip()))
        if turn.ended:
            yield f"*This turn ended early: {markdown_text(turn.ended)}.*"

    def _folded(self, turn: Exchange) -> Iterator[str]:
        yield f"<details>\n<summary>{_count(turn)}</summary>"
        if turn.reasoning:
            yield f"*{markdown_text(turn.reasoning.strip())}*"
        for step in turn.steps:
            yield from self._step(step, pictures=False)
        yield "</details>"
        for step in turn.steps:
            yield from self._pictures(step)

    def _step(self, step: WorkStep, *, pictures: bool = True) -> Iterator[str]:
        yield fence(step.code, _FENCES.get(step.language, "json"))
        if printed := "\n".join(filter(None, (step.stdout.rstrip("\n"), step.stderr.rstrip("\n")))):
            yield fence(_short(printed), "text")
        if step.ended:
            yield f"*{markdown_text(step.ended)}*"
        if pictures:
            yield from self._pictures(step)

    def _pictures(self, step: WorkStep) -> Iterator[str]:
        for url in step.pictures:
            kind, _, data = url.removeprefix("data:image/").partition(";base64,")
            name = f"picture-{len(self.pictures) + 1}.{kind}"
            self.pictures[name] = base64.b64decode(data)
            yield f"![{name}]({self._folder}{name})"


def _title(turn: Exchange) -> str:
    first = clean(turn.prompt).strip().partition("\n")[0]
    short = first if len(first) <= LONGEST_TITLE else f"{first[: LONGEST_TITLE - 1]}…"
    return markdown_text(f"You ran {short}" if turn.by_user else short or "A turn without a prompt")


def _count(turn: Exchange) -> str:
    commands = sum(step.language == "shell" for step in turn.steps)
    others = len(turn.steps) - commands
    words = [f"{commands:,} command{'' if commands == 1 else 's'}"] if commands else []
    words += [f"{others:,} piece{'' if others == 1 else 's'} of code"] if others else []
    return ", ".join(words) or "Reasoning"


def _short(text: str) -> str:
    folded = fold(text, head=HEAD, tail=TAIL)
    return f"{folded.head}[… {folded.hidden} …]\n{folded.tail}" if folded.middle else text


def _closed(text: str) -> str:
    """Close a code block that the text leaves open: the rest of the page would be part of it."""
    opened = ""
    for line in text.split("\n"):
        bare = line.strip()
        marks = bare[: len(bare) - len(bare.lstrip(bare[:1]))] if bare[:1] in ("`", "~") else ""
        if len(marks) < 3:
            continue
        if not opened:
            opened = marks
        elif bare == marks and marks.startswith(opened):
            opened = ""
    return f"{text}\n{opened}" if opened else text
