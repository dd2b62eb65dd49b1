"""Several replays of a conversation side by side: as a table, as an HTML page, and as Markdown."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from agent_kernel.conversion.exchanges import Exchange, WorkStep, exchanges, model_name
from agent_kernel.conversion.replay.run import ModelReplay
from agent_kernel.kernel.render.markdown import to_html, to_safe_markdown
from agent_kernel.kernel.render.text import clean, duration, escape, fence, fold, markdown_text, size

HEAD, TAIL = 20, 5
"""Lines of an output that are shown."""

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em; color-scheme: light dark; }
table { border-collapse: collapse; width: 100%; table-layout: fixed; }
th, td { border: 1px solid #8886; padding: .5em .8em; vertical-align: top; text-align: left; }
td { overflow-wrap: anywhere; }
.figures, td table { table-layout: auto; width: auto; }
pre { background: #8882; padding: .5em; overflow-x: auto; white-space: pre-wrap; }
.prompt { background: #8881; white-space: pre-wrap; }
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


@dataclass(frozen=True)
class ReplayColumn:
    """One model's column: its exchanges by the number of the prompt, and the figures of its row."""

    name: str
    turns: Sequence[Exchange]
    seconds: Sequence[float]
    files: Mapping[str, int]
    """Bytes of each file that is not an upload."""
    error: str = ""

    def figures(self) -> tuple[str, ...]:
        """Return the cells of its row: see `FIGURES`."""
        steps = [step for turn in self.turns for step in turn.steps]
        failed = sum(bool(step.ended) for step in steps)
        tokens = sum(turn.tokens for turn in self.turns)
        return (
            self.name,
            f"{len(self.turns):,}",
            f"{len(steps):,}" + (f" ({failed:,} failed)" if failed else ""),
            f"{len(self.files):,}",
            f"{tokens:,}" if tokens else "-",
            duration(sum(self.seconds)) if self.seconds else "-",
            clean(self.error).partition("\n")[0] or "done",
        )


FIGURES = ("MODEL", "TURNS", "COMMANDS", "FILES", "TOKENS", "TIME", "END")


def column_of(replay: ModelReplay, name: str = "") -> ReplayColumn:
    """Return a replay as a column."""
    files = dict(sorted(replay.files.items()))
    return ReplayColumn(
        name or model_name(replay.model), exchanges(replay.rows), replay.seconds, files, replay.error
    )


def to_page(title: str, prompts: Sequence[str], columns: Sequence[ReplayColumn]) -> str:
    """Return an HTML page without scripts, which loads nothing."""
    names = "".join(f"<th>{escape(each.name)}</th>" for each in columns)
    rows = [f"<tr>{names}</tr>"]
    for number, prompt in enumerate(prompts):
        rows.append(
            f'<tr><td class="prompt" colspan="{len(columns)}"><b>{number + 1}.</b> {escape(prompt)}</td></tr>'
        )
        rows.append(f"<tr>{''.join(f'<td>{_cell(each, number)}</td>' for each in columns)}</tr>")
    rows.append(f"<tr>{''.join(f'<td>{_files_html(each)}</td>' for each in columns)}</tr>")
    policy = f'<meta http-equiv="Content-Security-Policy" content="{html.escape(_POLICY)}">'
    name = escape(title)
    head = f'<meta charset="utf-8">{policy}<title>{name}</title><style>{_STYLE}</style>'
    turns = f"<h2>Turns</h2>\n<table>{''.join(rows)}</table>"
    body = f"<h1>{name}</h1>\n{_summary_html(columns)}\n{turns}"
    return f"<!doctype html>\n<html><head>{head}</head>\n<body>\n{body}\n</body></html>\n"


def _summary_html(columns: Sequence[ReplayColumn]) -> str:
    head = "".join(f"<th>{name.capitalize()}</th>" for name in FIGURES)
    cells = (f"<td>{'</td><td>'.join(map(escape, each.figures()))}</td>" for each in columns)
    return f"<table class='figures'><tr>{head}</tr>{''.join(f'<tr>{each}</tr>' for each in cells)}</table>"


def _cell(column: ReplayColumn, number: int) -> str:
    if number >= len(column.turns):
        return f"<i>{escape(column.error or 'not reached')}</i>"
    turn = column.turns[number]
    steps = "".join(_step_html(step) for step in turn.steps)
    time = f", {duration(column.seconds[number])}" if number < len(column.seconds) else ""
    count = f"{len(turn.steps):,} command{'' if len(turn.steps) == 1 else 's'}{time}"
    work = f"<details><summary>{count}</summary>{steps}</details>" if steps else f"<p>{count}</p>"
    pictures = "".join(
        f'<p><img src="{html.escape(url)}" style="max-width: 100%"></p>' for url in _pictures(turn)
    )
    ended = f"<p><i>{escape(turn.ended)}</i></p>" if turn.ended else ""
    return work + pictures + to_html(turn.answer) + ended


def _pictures(turn: Exchange) -> Iterator[str]:
    yield from (url for step in turn.steps for url in step.pictures)


def _step_html(step: WorkStep) -> str:
    printed = _short(step)
    output = f"<pre>{escape(printed)}</pre>" if printed else ""
    ended = f"<p><i>{escape(step.ended)}</i></p>" if step.ended else ""
    return f"<pre><b>{escape(step.code)}</b></pre>{output}{ended}"


def _short(step: WorkStep) -> str:
    text = "\n".join(filter(None, (step.stdout.rstrip("\n"), step.stderr.rstrip("\n"))))
    folded = fold(text, head=HEAD, tail=TAIL)
    return f"{folded.head}[… {folded.hidden} …]\n{folded.tail}" if folded.middle else text


def _files_html(column: ReplayColumn) -> str:
    listed = "".join(f"<li>{escape(name)} ({size(count)})</li>" for name, count in column.files.items())
    return f"<b>Files</b><ul>{listed}</ul>" if listed else "<b>No files</b>"


def to_markdown_page(title: str, prompts: Sequence[str], columns: Sequence[ReplayColumn]) -> str:
    """Return the same as Markdown: the figures in a table, and the answers of each turn in a row."""
    lines = [f"# {markdown_text(title)}", _summary(columns)]
    for number, prompt in enumerate(prompts):
        lines.append(f"## {number + 1}. {markdown_text(clean(prompt).strip().partition(chr(10))[0][:80])}")
        for each in columns:
            lines += [f"### {markdown_text(each.name)}", *_turn_lines(each, number)]
    lines.append("## Files")
    for each in columns:
        names = ", ".join(f"{markdown_text(name)} ({size(count)})" for name, count in each.files.items())
        lines.append(f"- **{markdown_text(each.name)}**: {names or 'none'}")
    return "\n\n".join(lines) + "\n"


def _summary(columns: Sequence[ReplayColumn]) -> str:
    rows = [f"| {' | '.join(name.capitalize() for name in FIGURES)} |", "|---" * len(FIGURES) + "|"]
    rows += [f"| {' | '.join(map(markdown_text, each.figures()))} |" for each in columns]
    return "\n".join(rows)


def _turn_lines(column: ReplayColumn, number: int) -> Iterator[str]:
    if number >= len(column.turns):
        yield f"*{markdown_text(column.error or 'not reached')}*"
        return
    turn = column.turns[number]
    if turn.steps:
        yield f"<details>\n<summary>{len(turn.steps):,} commands</summary>"
        for step in turn.steps:
            yield fence(step.code, "python" if step.language == "python" else "bash")
            if printed := _short(step):
                yield fence(printed, "text")
        yield "</details>"
    yield to_safe_markdown(turn.answer) or "*No answer.*"
