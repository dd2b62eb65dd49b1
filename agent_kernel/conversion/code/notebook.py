"""The notebook and the script of a plan, as text. Pure: the caller passes what a run printed."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent_kernel.conversion.code.inside import bash_cells
from agent_kernel.conversion.code.plan import CodePlan, KeptStep
from agent_kernel.conversion.code.rerun import CodeRun
from agent_kernel.conversion.exchanges import Exchange
from agent_kernel.kernel.render.markdown import to_safe_markdown
from agent_kernel.kernel.render.text import clean, markdown_text, size
from agent_kernel.kernel.render.text import code as code_span

Json = Mapping[str, Any]

WORKSPACE = "/mnt/data"
LONGEST_HEADING = 80
"""Characters of a prompt that can be a heading."""
_REGISTER = 'get_ipython().register_magic_function(bash, "cell")'
_CHECK = """\
import hashlib
import pathlib

for name, digest in INPUTS.items():
    if hashlib.sha256(pathlib.Path(name).read_bytes()).hexdigest() != digest:
        raise SystemExit(f"{name} is not the file that these results were made from.")
"""


@dataclass(frozen=True)
class NamedInput:
    """A file that the code needs: its path below the workspace, size in bytes, and SHA-256 in hex."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class CodeExport:
    """What is exported. `about` is a sentence on its origin."""

    title: str
    about: str
    exchanges: Sequence[Exchange]
    plan: CodePlan
    inputs: Sequence[NamedInput]


def set_up(export: CodeExport) -> str:
    """Return the code of the first cell: the check of the inputs and the shell of the `%%bash` cells."""
    parts = []
    if export.inputs:
        listed = "".join(f"    {each.path!r}: {each.sha256!r},\n" for each in export.inputs)
        parts.append(f"INPUTS = {{\n{listed}}}\n{_CHECK}")
    if _has_shell(export):
        parts.append(inspect.getsource(bash_cells))
    return "\n\n".join(parts)


def _has_shell(export: CodeExport) -> bool:
    return any(each.step.language == "shell" for each in export.plan.kept)


def runnable(kept: KeptStep) -> str:
    """Return a step as plain Python, which runs after `set_up` as its cell does in the notebook."""
    step = kept.step
    if step.language == "shell":
        return f"bash({_option(kept)!r}, {_literal(step.code)})"
    return step.code


def notebook(export: CodeExport, runs: Sequence[CodeRun], report: Sequence[str]) -> str:
    """Return the notebook as JSON (nbformat 4.5). `runs` has those of each kept step, or is empty.

    `report` are the lines of the last cell: what was verified, and what was not.
    """
    cells = [_markdown("title", f"# {markdown_text(export.title)}\n\n{markdown_text(export.about)}")]
    if export.inputs:
        cells.append(_markdown("inputs", _inputs(export.inputs)))
    if text := set_up(export):
        magic = f"\n\n{_REGISTER}" if _has_shell(export) else ""
        cells.append(_code("set-up", text.rstrip("\n") + magic, ()))
    asked = 0
    for number, kept in enumerate(export.plan.kept):
        if kept.exchange != asked:
            asked = kept.exchange
            cells.append(_markdown(f"turn-{asked}", _heading(asked, export.exchanges[asked - 1])))
        shown = _saved(runs[number].outputs) if number < len(runs) else ()
        cells.append(_code(f"step-{number + 1}", _cell_source(kept), shown, raises=bool(kept.step.ended)))
    cells.append(_markdown("report", "\n".join(report)))
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    made = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(made, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def _saved(outputs: Sequence[Json]) -> Iterator[Json]:
    """Yield outputs as a notebook saves them."""
    for each in outputs:
        match each.get("output_type"):
            case "stream" | "error":
                yield each
            case "display_data":
                yield {name: each[name] for name in ("output_type", "data", "metadata")}
            case "execute_result":
                kept = {name: each[name] for name in ("output_type", "data", "metadata")}
                yield {**kept, "execution_count": None}


def script(export: CodeExport) -> tuple[str, str]:
    """Return the suffix of the script and its text: bash if every step is a command, Python otherwise."""
    return (".sh", _bash_script(export)) if export.plan.only_shell else (".py", _python_script(export))


def _bash_script(export: CodeExport) -> str:
    lines = ["#!/bin/bash", *_comments(export.about)]
    if export.inputs:
        listed = (each for each in export.inputs if each.path.isprintable())
        sums = "".join(f"{each.sha256}  {each.path}\n" for each in listed)
        lines += ["", f"sha256sum --check --quiet <<'INPUTS' || exit 1\n{sums}INPUTS"]
    for heading, kept in _steps(export):
        lines += ["", *_comments(heading)] if heading else [""]
        lines.append(kept.step.code.rstrip("\n"))
    return "\n".join(lines) + "\n"


def _python_script(export: CodeExport) -> str:
    lines = ["#!/usr/bin/env python3", *_comments(export.about), "", set_up(export).rstrip("\n")]
    if any("display(" in each.step.code for each in export.plan.kept):
        lines += ["", "display = print  # a notebook has it"]
    for heading, kept in _steps(export):
        lines += ["", *_comments(heading)] if heading else [""]
        lines.append(_attempted(kept) if kept.step.ended else runnable(kept).rstrip("\n"))
    return "\n".join(lines) + "\n"


def _steps(export: CodeExport) -> Iterator[tuple[str, KeptStep]]:
    """Yield the steps, the first of each exchange with its prompt."""
    asked = 0
    for kept in export.plan.kept:
        heading = "" if kept.exchange == asked else export.exchanges[kept.exchange - 1].prompt
        asked = kept.exchange
        yield heading, kept


def _cell_source(kept: KeptStep) -> str:
    if kept.step.language == "shell":
        return f"%%bash {_option(kept)}".rstrip() + "\n" + kept.step.code
    return kept.step.code


def _option(kept: KeptStep) -> str:
    return "--no-raise-error" if kept.step.ended else ""


def _attempted(kept: KeptStep) -> str:
    """Return a step that failed, so that the script goes on after it."""
    if kept.step.language == "shell":
        return runnable(kept)
    run = f'exec(compile({_literal(kept.step.code)}, "step", "exec"), globals())'
    return f"try:\n    {run}\nexcept Exception as error:\n    print(type(error).__name__, error)"


def _literal(text: str) -> str:
    """Return a Python literal for a text, over several lines where that reads well."""
    if "\n" not in text:
        return repr(text)
    plain = all(letter.isprintable() or letter in "\n\t" for letter in text)
    if not plain or '"""' in text or text.endswith(('"', "\\")):
        return _joined(text)
    return f'{"r" if chr(92) in text else ""}"""{text}"""'


def _joined(text: str) -> str:
    lines = "".join(f"    {line!r}\n" for line in text.splitlines(keepends=True))
    return f"(\n{lines})"


def _heading(number: int, exchange: Exchange) -> str:
    """Return a prompt as a heading if it is one short line, else below one."""
    prompt = exchange.prompt.strip()
    who = "You ran" if exchange.by_user else ""
    if "\n" not in prompt and len(prompt) <= LONGEST_HEADING and not exchange.by_user:
        return f"## {number}. {markdown_text(prompt)}"
    return f"## {number}. {who}".rstrip() + (f"\n\n{to_safe_markdown(prompt)}" if not who else "")


def _comments(text: str) -> Iterator[str]:
    yield from (f"# {line}".rstrip() for line in clean(text).strip().split("\n"))


def _inputs(inputs: Sequence[NamedInput]) -> str:
    rows = [f"| {code_span(each.path)} | {size(each.bytes)} | `{each.sha256}` |" for each in inputs]
    return "\n".join(["## Inputs", "", "| file | size | SHA-256 |", "|---|---|---|", *rows])


def folder_hint(export: CodeExport) -> str:
    """Return a sentence if the code names the sandbox's folder, empty otherwise."""
    if not any(WORKSPACE in each.step.code for each in export.plan.kept):
        return ""
    return f"Its steps name the folder {WORKSPACE}: run it where the folder of the inputs is mounted there."


def _markdown(cell_id: str, text: str) -> Json:
    return {"cell_type": "markdown", "id": cell_id, "metadata": {}, "source": text}


def _code(cell_id: str, text: str, outputs: Iterable[Json], *, raises: bool = False) -> Json:
    metadata = {"tags": ["raises-exception"]} if raises else {}
    fields = {"execution_count": None, "outputs": [dict(each) for each in outputs], "source": text}
    return {"cell_type": "code", "id": cell_id, "metadata": metadata, **fields}
