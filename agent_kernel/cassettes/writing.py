"""Write a cassette as YAML that reads well in a pull request."""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
from pathlib import Path
from typing import Any

import yaml

from agent_kernel.cassettes.cassette import (
    VERSION,
    Cassette,
    PrintedOutput,
    RecordedCell,
    Said,
    SaidCall,
    SaidRejected,
)
from agent_kernel.cassettes.reading import MAX_BYTES
from agent_kernel.errors import ConfigurationError

_TOP = "# What a model said in a notebook, and what its commands printed. Written by agent-kernel.\n"


_BLOCK = re.compile("[\t\n\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]*")
"""Texts that a block can hold as they are."""


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks, every value once, and lists below their names."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def analyze_scalar(self, scalar: str) -> Any:
        """Allow blocks for lines that end in spaces or have tabs, which the base writes in quotes."""
        analysis = super().analyze_scalar(scalar)
        if "\n" in scalar and _BLOCK.fullmatch(scalar):
            analysis.allow_block = True
        return analysis


def _block(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = '"' if not _BLOCK.fullmatch(text) else "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _block)


def write(path: Path, cassette: Cassette) -> None:
    """Write the file completely or not at all, and make its folder if there is none.

    Raises `ConfigurationError` if it cannot be written, or would be larger than can be read.
    """
    data = to_yaml(cassette).encode("utf-8", "replace")
    if len(data) > MAX_BYTES:
        raise ConfigurationError(
            f"The cassette {path} would be larger than {MAX_BYTES >> 20} MiB.",
            hint="Record fewer cells into one notebook, or print less in them.",
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path, data)
    except OSError as error:
        raise ConfigurationError(
            f"The cassette {path} cannot be written: {error.strerror}.",
            hint="Choose a folder that you can write to: AGENT_KERNEL_RECORD, or %record on FOLDER",
        ) from error


def _replace(path: Path, data: bytes) -> None:
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
        Path(name).chmod(mode)
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise


def to_yaml(cassette: Cassette) -> str:
    """Return the cassette as YAML: the same text for the same contents."""
    made = cassette.recorded_in
    surroundings = {
        "sandbox": made.sandbox,
        "image": made.image,
        "packages": dict(sorted(made.packages.items())),
    }
    document = {
        "agent_kernel_cassette": VERSION,
        **_given(notebook=cassette.notebook, model=cassette.model, recorded_in=_given(**surroundings)),
        "cells": [_cell(each) for each in cassette.cells],
    }
    options: dict[str, Any] = {"sort_keys": False, "allow_unicode": True, "width": 1 << 30}
    return _TOP + str(yaml.dump(document, Dumper=_Dumper, **options))


def _cell(cell: RecordedCell) -> dict[str, Any]:
    names = {"cell": cell.cell, "asks": cell.asks, "prompt": cell.prompt, "request": cell.request}
    return {
        **_given(**names),
        "steps": [[_said(each) for each in step] for step in cell.steps],
        **_given(ended=cell.ended),
    }


def _said(said: Said) -> dict[str, Any]:
    if isinstance(said, SaidRejected):
        return {"rejected": said.name, "arguments": said.arguments, "why": said.why}
    if not isinstance(said, SaidCall):
        return {said.kind: said.text, **_given(phase=said.phase)}
    outputs = [_output(each) for each in said.printed or ()]
    printed = {} if said.printed is None else {"printed": outputs[0] if len(outputs) == 1 else outputs}
    match said.tool, said.fields:
        case "code_interpreter", {"code": str(code), **rest} if not rest:
            return {"python": code, **printed}
        case "shell", {"action": {"commands": list(commands), **limits}, **rest} if not rest:
            shell = commands[0] if len(commands) == 1 else commands
            return {"shell": shell, **{str(name): limits[name] for name in limits}, **printed}
    return {"tool": said.tool, "fields": json.dumps(dict(said.fields), ensure_ascii=False, indent=1)}


def _output(printed: PrintedOutput) -> Any:
    if not printed.stderr and not printed.ended:
        return printed.stdout
    return _given(stdout=printed.stdout, stderr=printed.stderr, ended=printed.ended)


def _given(**fields: Any) -> dict[str, Any]:
    """Return the fields that are not empty."""
    return {name: value for name, value in fields.items() if value}
