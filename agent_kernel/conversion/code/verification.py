"""Make the notebook of a conversation, and verify it by running it in a fresh container."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from agent_kernel.conversion.code.comparison import Verified, verified
from agent_kernel.conversion.code.notebook import CodeExport, NamedInput, folder_hint, runnable, set_up
from agent_kernel.conversion.code.plan import CodePlan, plan
from agent_kernel.conversion.code.rerun import CodeRun, run_all
from agent_kernel.conversion.containers import (
    OriginalContainer,
    WorkspaceFile,
    copied,
    files_of,
    fresh_container,
    put_files,
)
from agent_kernel.conversion.exchanges import Exchange, exchanges, models_of
from agent_kernel.errors import AgentKernelError
from agent_kernel.kernel.render.text import clean, markdown_text
from agent_kernel.kernel.render.text import code as code_span
from agent_kernel.runtime.base import Runtime
from agent_kernel.store.records import ResponseRow


@dataclass(frozen=True)
class FreshPlace:
    """Where a verification runs: a runtime with its backend's name, and the parameters of its container."""

    runtime: Runtime
    backend: str
    params: Mapping[str, Any]


@dataclass(frozen=True)
class ExportedCode:
    """The notebook's contents with what its run printed, and the lines of the report."""

    export: CodeExport
    runs: Sequence[CodeRun]
    problems: Sequence[str]
    report: Sequence[str]


@dataclass(frozen=True)
class _Attempt:
    plan: CodePlan
    runs: Sequence[CodeRun] = ()
    found: Verified | None = None
    failed: str = ""

    @property
    def problems(self) -> Sequence[str]:
        return [self.failed] if self.found is None else self.found.problems


async def exported(
    rows: Sequence[ResponseRow],
    title: str,
    original: OriginalContainer | None,
    fresh: FreshPlace | None,
    why_not: str = "",
) -> ExportedCode:
    """Return the notebook of a conversation.

    Without `original` or `fresh` it is not verified; `why_not` says why. Otherwise it runs twice if need be:
    without the steps that failed, and with them, if files or figures differ without. Raises what reading the
    original's files raises. Cancelling removes the fresh container.
    """
    files: Mapping[str, WorkspaceFile] = {}
    if original is not None:
        files = await files_of(original.containers, original.id, rows[0].created_at)
    inputs = [each for each in files.values() if each.uploaded]
    turns = exchanges(rows)
    export = _export(title, turns, inputs)
    best = _Attempt(export.plan, failed=why_not or "It was not run.")
    if original is not None and fresh is not None:
        best = await _attempt(export, original, fresh, files)
        again = replace(export, plan=plan(turns, failed=True))
        if best.problems and again.plan.kept != export.plan.kept:
            other = await _attempt(again, original, fresh, files)
            best = other if len(other.problems) < len(best.problems) else best
    problems = [*best.problems, *_changed(inputs, rows)]
    report = [*_report(best, fresh, problems), *_left_out(best.plan)]
    return ExportedCode(replace(export, plan=best.plan), best.runs, problems, report)


def _export(title: str, turns: Sequence[Exchange], inputs: Sequence[WorkspaceFile]) -> CodeExport:
    models = ", ".join(models_of(turns)) or "no model"
    about = f"Made from a conversation with {models} on {_day(turns[-1].created_at)}. It needs no agent."
    named = [NamedInput(each.path, each.bytes, each.sha256) for each in inputs]
    export = CodeExport(title, about, turns, plan(turns), named)
    hint = folder_hint(export)
    return replace(export, about=f"{about} {hint}") if hint else export


async def _attempt(
    export: CodeExport,
    original: OriginalContainer,
    fresh: FreshPlace,
    files: Mapping[str, WorkspaceFile],
) -> _Attempt:
    inputs = [copied(original, each.id, each.path, each.bytes) for each in files.values() if each.uploaded]
    first = set_up(export)
    codes = [*([first] if first else []), *map(runnable, export.plan.kept)]
    runtime = fresh.runtime
    try:
        async with fresh_container(runtime, fresh.params) as fresh_id:
            await put_files(runtime, fresh_id, inputs)
            runs = await run_all(runtime, fresh_id, codes)
            got = await files_of(runtime.containers, fresh_id)
    except AgentKernelError as error:
        return _Attempt(export.plan, failed=f"It could not be run in {fresh.backend}: {error.message}")
    if first and runs[0].ended:
        return _Attempt(export.plan, failed=f"Its first cell failed: {runs[0].ended}")
    steps = runs[1:] if first else runs
    return _Attempt(export.plan, steps, verified(export.plan.kept, steps, files, got))


def _changed(inputs: Sequence[WorkspaceFile], rows: Sequence[ResponseRow]) -> Iterator[str]:
    """Yield a line for each input that a turn has changed: its first version is not kept."""
    spans = [(row.created_at, row.response.get("completed_at") or row.created_at) for row in rows]
    for each in inputs:
        if any(begun + 1 < each.modified < ended + 1 for begun, ended in spans):  # they are whole seconds
            yield f"{each.path} was changed in the conversation: the notebook begins with its last version."


def _report(best: _Attempt, fresh: FreshPlace | None, problems: Sequence[str]) -> Iterator[str]:
    yield "## Verification\n"
    if best.found is not None and fresh is not None:
        files, steps = best.found.files, best.found.steps
        yield (
            f"This notebook ran in a fresh {fresh.backend} sandbox without a network on {_day(time.time())}. "
            f"{files:,} {'file is' if files == 1 else 'files are'} the same as in the conversation, and "
            f"{steps:,} of {len(best.plan.kept):,} steps gave the same output."
        )
    if problems:
        yield "\nNot verified:\n"
        for each in problems:
            first, _, rest = each.partition("\n")
            yield f"- {markdown_text(first)}" + (f"\n\n{clean(rest)}\n" if rest else "")
    yield "\nWhat is not in the conversation is not here: files changed by hand, and `!!` commands."


def _left_out(found: CodePlan) -> Iterator[str]:
    if found.left_out:
        yield "\n## Left out\n"
    for each in found.left_out:
        first = each.step.code.strip().partition("\n")[0][:100]
        yield f"- turn {each.exchange}: {code_span(first)} ({markdown_text(each.why)})"


def _day(when: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(when))
