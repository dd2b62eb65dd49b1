"""What a notebook records and replays: the cassette it writes, and the one that its model plays."""

from __future__ import annotations

import asyncio
import json
import socket
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from agent_kernel.cassettes.cassette import (
    CELL_KEY,
    PREFIX,
    PROMPT_KEY,
    Cassette,
    RecordedCell,
    Surroundings,
    digest,
    first_words,
)
from agent_kernel.cassettes.redaction import Redaction
from agent_kernel.errors import AgentKernelError
from agent_kernel.kernel.front_end import FrontEnd
from agent_kernel.kernel.preferences import from_metadata
from agent_kernel.kernel.recording.cell_keys import RunningCells
from agent_kernel.kernel.recording.tape import TurnTape

if TYPE_CHECKING:
    from agent_kernel.cassettes.drift import DriftReport
    from agent_kernel.kernel.container import NotebookContainer
    from agent_kernel.kernel.outputs import CellOutputs
    from agent_kernel.kernel.preferences import Choices
    from agent_kernel.kernel.settings import KernelSettings
    from agent_kernel.runtime.base import Runtime

FOLDER = "cassettes"
"""The folder beside the notebook in which cassettes are, unless another one is named."""

SUFFIXES = (".yaml", ".yml")


ACCEPT = "To accept what it shows: agent-kernel record --update NOTEBOOK"


class Drifted(AgentKernelError):
    """The commands of a replayed cell printed something other than what its cassette has."""

    fault = "caller"


class RecordedNotebook(Protocol):
    """What is needed of a notebook."""

    settings: KernelSettings
    choices: Choices
    container: NotebookContainer

    @property
    def model(self) -> str | None:
        """The model used by cells."""
        ...

    async def runtime(self) -> Runtime:
        """Return the runtime."""
        ...


class NotebookRecording:
    """The recording and replaying of one notebook. `shell` is the model that runs commands as they are.

    `target` is the folder or file of the cassette that is written, None while nothing is recorded.
    """

    def __init__(self, notebook: RecordedNotebook, shell: str) -> None:
        self._shell = shell
        self.target: Path | None = None
        self.written: list[str] = []
        """The cassettes that were written, each as `MACHINE:PATH`; `session delete` removes them."""
        if notebook.settings.record:
            self.record_into(notebook.settings.record)
        self._notebook = notebook
        self._redaction: Redaction | None = None
        self._cells = RunningCells()
        self._cell: tuple[str | None, str, Path | None] = (None, "", None)
        self._key: str | None = None
        self._surroundings: tuple[str, Surroundings] | None = None
        self._compared: Counter[str] = Counter()
        self._played: tuple[tuple[int, int], Cassette] | None = None

    def record_into(self, path: str) -> None:
        """Record into this folder, or this file if it ends in .yaml."""
        self.target = Path(path).expanduser()

    def begin_cell(self, cell_id: str | None, source: str, file: Path | None) -> None:
        """Take note of the cell that begins; `file` is the notebook's, if it is known."""
        self._key, self._cell = None, (cell_id, source, file)

    # -- what is played -----------------------------------------------------------------------------------

    @property
    def plays(self) -> Path | None:
        """The cassette that the notebook's model plays, None if it is another model."""
        model = self._notebook.model or ""
        return Path(model.removeprefix(PREFIX)).expanduser() if model.startswith(PREFIX) else None

    @property
    def prewritten(self) -> str:
        """The prefix of the models whose answers people have written, "" if the notebook's are not such."""
        if self.plays is not None:
            return PREFIX if self._cassette().model.startswith("scripted/") else ""
        return "" if self._notebook.model else "scripted/"

    def sees(self) -> bool | None:
        """Return whether the model that was recorded was shown pictures, None if nothing is replayed."""
        return None if self.plays is None else not self.prewritten

    def _cassette(self) -> Cassette:
        """Return the cassette that is played. One that cannot be read is empty: the model reports it."""
        from agent_kernel.cassettes.reading import CassetteInvalid, read

        path = self.plays
        if path is None:
            return Cassette()
        try:
            found = path.stat()
            version = (found.st_mtime_ns, found.st_size)
            if self._played is None or self._played[0] != version:
                self._played = version, read(path)
            return self._played[1]
        except (OSError, ValueError, CassetteInvalid):
            return Cassette()

    # -- turns --------------------------------------------------------------------------------------------

    async def begin(self, prompt: str | None, request: dict[str, Any]) -> TurnTape | None:
        """Return a tape for a turn that begins, None if it is neither recorded nor compared.

        `prompt` is the cell's own, None for a command of the user. A request to a cassette says which cell
        this is.
        """
        if prompt is None or (self.target is None and self.plays is None):
            return None
        if self._redaction is None:
            settings = self._notebook.settings
            self._redaction = Redaction(settings.secrets, settings.record_redact)
        if self._key is None:
            self._key = await asyncio.to_thread(self._cells.key, *self._cell)
        asks, prompt_digest = self._redaction.text(first_words(prompt)), digest(prompt)
        cell = RecordedCell(self._key, asks, prompt_digest, _request_digest(request), ())
        if self.plays is not None:
            keys = {CELL_KEY: self._key, PROMPT_KEY: prompt_digest}
            request["client_metadata"] = {name: value for name, value in keys.items() if value}
        return TurnTape(cell, self._redaction)

    async def end(self, tape: TurnTape | None, outputs: CellOutputs) -> None:
        """Record or compare a turn that has ended well. Raises `Drifted`."""
        cell = tape.whole() if tape is not None else None
        if tape is None or cell is None:
            return
        if self.plays is not None:
            await self._compare(cell, outputs)
        elif self.target is not None:
            await self._record(cell, tape.model, outputs)

    def status(self) -> str:
        """Return what is recorded and replayed, as sentences. Reads the cassette."""
        from agent_kernel.cassettes.reading import CassetteInvalid, read

        if self.plays is None and self.target is None:
            return "Cells are not recorded."
        path = self.plays or self.file()
        try:
            count = len(read(path).cells) if self.plays or path.exists() else 0
        except CassetteInvalid as error:
            return str(error)
        cells = f"{count} cell{'' if count == 1 else 's'}"
        if self.plays is None:
            return f"Cells are recorded in `{path}`, which has {cells}."
        done = {"fail": "fails the cell", "warn": "is reported", "ignore": "is ignored"}[self.drift()[0]]
        return f"Cells are replayed from `{path}`, which has {cells}. Output that differs {done}."

    # -- recording ----------------------------------------------------------------------------------------

    def file(self) -> Path:
        """Return the cassette that is written, or would be."""
        target = self.target or Path(FOLDER)
        if target.suffix in SUFFIXES:
            return target
        notebook = self._cells.file or self._cell[2]
        return target / f"{notebook.stem if notebook else 'notebook'}.yaml"

    async def _record(self, cell: RecordedCell, model: str, outputs: CellOutputs) -> None:
        from agent_kernel.kernel.render.bundles import notice

        try:
            await asyncio.to_thread(self._save, cell, model, await self._around())
        except AgentKernelError as error:
            outputs.emit(notice(f"This cell was not recorded. {error}"))

    def _save(self, cell: RecordedCell, model: str, made: Surroundings) -> None:
        from agent_kernel.cassettes.reading import read
        from agent_kernel.cassettes.writing import write

        path = self.file()
        old = read(path) if path.exists() else Cassette()
        name = self._cells.file.name if self._cells.file else old.notebook
        new = Cassette(name, model, made, old.cells).with_cell(cell, self._cells.order)
        write(path, new)
        named = f"{socket.gethostname()}:{path.absolute()}"
        if named not in self.written:
            self.written.append(named)

    async def _around(self) -> Surroundings:
        """Return the surroundings of the notebook's container, which are found out once."""
        from agent_kernel.kernel.recording.surroundings import surroundings

        container_id = self._notebook.container.id
        if container_id is None:
            return Surroundings()
        if self._surroundings is None or self._surroundings[0] != container_id:
            found = await surroundings(await self._notebook.runtime(), container_id, self._shell)
            self._surroundings = container_id, found
        return self._surroundings[1]

    # -- comparing ----------------------------------------------------------------------------------------

    async def _compare(self, ran: RecordedCell, outputs: CellOutputs) -> None:
        from agent_kernel.cassettes.drift import compare

        mode, ignore = self.drift()
        cassette = await asyncio.to_thread(self._cassette)
        recorded = cassette.find(ran.cell, ran.prompt, self._compared[ran.prompt])
        self._compared[ran.prompt] += 1
        if mode == "ignore" or recorded is None:
            return
        report = compare(recorded, ran, ignore)
        if report.commands:
            await self._report(report, cassette, ran.request != recorded.request, outputs)

    async def _report(
        self, report: DriftReport, cassette: Cassette, request: bool, outputs: CellOutputs
    ) -> None:
        from dataclasses import replace

        from agent_kernel.cassettes.drift import around, first_difference
        from agent_kernel.kernel.recording.report import headline, report_bundle

        said = around(cassette.recorded_in, await self._around(), request=request)
        name = self.plays.name if self.plays else ""
        outputs.emit(report_bundle(replace(report, around=said), name))
        if self.drift()[0] == "fail":
            told = headline(report, name).replace("`", "")
            if outputs.front_end is FrontEnd.BATCH:  # which may show nothing but the error
                told += f" {first_difference(report)}"
            raise Drifted(told, hint=f"The report is above. {ACCEPT}")

    def drift(self) -> tuple[str, Sequence[str]]:
        """Return what happens with differences in the running cell, and the patterns of ignored lines."""
        in_file = from_metadata(self._cells.metadata, where="this cell")  # front ends may not send it
        now, settings = in_file.over(self._notebook.choices.now), self._notebook.settings
        chosen = settings.drift_ignore if now.drift_ignore is None else now.drift_ignore
        return now.drift or settings.drift, chosen


def _request_digest(request: Mapping[str, Any]) -> str:
    """Return the digest of what a turn sends besides conversation and prompt: instructions and tools."""
    tools = sorted(str(each.get("type")) for each in request.get("tools") or ())
    return digest(json.dumps([request.get("instructions"), tools]))
