"""A drift report as one output of a notebook."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from agent_kernel.cassettes.drift import DriftLine, DriftReport, report_lines
from agent_kernel.kernel.render.bundles import Bundle, notice, table

DRIFT_MIME = "application/vnd.agent-kernel.drift+json"

MOST_ROWS = 40


def headline(report: DriftReport, cassette: str) -> str:
    """Return what a report says in one sentence."""
    of = f"{report.failed} of {report.compared}" if report.compared > 1 else "The command"
    what = f" command{'' if report.compared == 1 else 's'}" if report.compared > 1 else ""
    return f"{of}{what} in cell {report.cell} printed something other than what was recorded in `{cassette}`."


def report_bundle(report: DriftReport, cassette: str) -> Bundle:
    """Return the report: a table in HTML and Markdown, lines in plain text, and everything as JSON."""
    top = notice(headline(report, cassette))
    rows = [
        [f"{each.step}", each.command + _stream(each.stream), *_row(line)]
        for each in report.commands
        for line in each.lines
    ]
    header = ["step", "command", "expected", "got", "difference"]
    shown = table(header, rows[:MOST_ROWS])
    more = [f"… and {len(rows) - MOST_ROWS} more lines"] if len(rows) > MOST_ROWS else []
    below = notice("\n\n".join([*more, *report.around])) if more or report.around else None
    bundles = [top, shown.bundle(), *([below] if below else [])]
    data: dict[str, Any] = {
        kind: "\n\n".join(str(each.data[kind]) for each in bundles) for kind in ("text/html", "text/markdown")
    }
    data["text/html"] = data["text/html"].replace("\n\n", "")
    data["text/plain"] = "\n".join([headline(report, cassette), *report_lines(report)])
    data[DRIFT_MIME] = asdict(report)
    return Bundle(data)


def _stream(stream: str) -> str:
    return "" if stream == "stdout" else f" ({stream})"


def _row(line: DriftLine) -> list[str]:
    sides = ["" if side is None else side for side in (line.expected, line.got)]
    return [*sides, "; ".join(line.numbers)]
