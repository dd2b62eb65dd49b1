"""A checkout whose live view is not built."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from agent_kernel.kernel.cell_run import CellRunner, SubmittedCell
from agent_kernel.kernel.front_end import FrontEnd
from agent_kernel.kernel.live import built
from agent_kernel.kernel.outputs import CellOutputs


class NoBranches:
    """Nothing goes back here."""

    async def begin(self, *_: object) -> None:
        pass

    def end(self) -> None:
        pass


class NoSession:
    """Nothing is kept here."""

    async def begin(self, *_: object, **__: object) -> None:
        pass

    async def end(self, *_: object) -> None:
        pass


class NoRecording:
    """Nothing is recorded here."""

    def begin_cell(self, *_: object) -> None:
        pass


class Conversation:
    """The part of a notebook that a prompt needs."""

    recording = NoRecording()
    file = None
    branches = NoBranches()
    kept = NoSession()

    def rerun(self, *_: object) -> str:
        return "continue"

    async def begin_cell(self, *_: object) -> None:
        pass

    async def ask(self, prompt: str, outputs: CellOutputs) -> None:
        outputs.stream("stdout", prompt)


async def test_missing_live_view_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(built, "STATIC", tmp_path)
    published: list[Any] = []
    runner = CellRunner(cast(Any, Conversation()), stop=lambda: None)
    for number in (1, 2):
        outputs = CellOutputs(lambda *message: published.append(message), FrontEnd.NOTEBOOK)
        await runner.run(SubmittedCell("hello", number, {}, live=True), outputs)
    assert [kind for kind, _ in published] == ["display_data", "stream", "stream"]
    assert "make extension" in published[0][1]["data"]["text/plain"]
    assert runner.view is None
