"""The state of a notebook that a kept session holds: written as JSON, bounded, and read back.

What comes back is a claim of the store or of a server. It is checked, and what cannot be read is left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent_kernel.errors import InvalidRequest
from agent_kernel.kernel.branches.tree import CellTree, Point
from agent_kernel.kernel.keeping.cells_as_json import CellReader, CellWriter
from agent_kernel.kernel.ledger import TurnRecord
from agent_kernel.kernel.offers.skills import ChosenSkill, read_chosen
from agent_kernel.kernel.preferences import METADATA_KEY, Preferences, from_metadata
from agent_kernel.kernel.transfer.documents import NotebookDocuments, read_documents
from agent_kernel.kernel.transfer.host_files import HostFile
from agent_kernel.policy.rules import Policy, read_policy
from agent_kernel.runtime.kept import LARGEST_STATE

if TYPE_CHECKING:
    from agent_kernel.kernel.keeping.base import KeptNotebook

VERSION = 1

MOST_CELLS = 2000
MOST_RECORDS = 500
"""Turns, newest last, that `%usage` and `%replay` know after a resume."""

MOST_CASSETTES = 20
"""Files in which cells were recorded, newest last."""

LONGEST_ASKED = 200
"""Characters of a prompt that are kept for `%usage`."""

Json = Mapping[str, Any]


class StateUnreadable(ValueError):
    """A state that this version cannot read. The message is a clause without a full stop."""


@dataclass(frozen=True)
class NotebookState:
    """What comes back of a notebook. `number` is that of the last cell; `at` the point the container is at.

    `variables` are names of Python variables when the kernel was shut down; None if it was not.
    """

    number: int = 0
    tree: CellTree = field(default_factory=CellTree)
    points: Sequence[Point] = ()
    at: Point | None = None
    said: Preferences = field(default_factory=Preferences)
    approval: Policy | None = None
    notes: Sequence[str] = ()
    params: Json = field(default_factory=dict)
    records: Sequence[TurnRecord] = ()
    uploads: Mapping[str, tuple[HostFile, str]] = field(default_factory=dict)
    received: Sequence[str] = ()
    cassettes: Sequence[str] = ()
    skills: Sequence[ChosenSkill] = ()
    documents: NotebookDocuments = field(default_factory=NotebookDocuments)
    variables: Sequence[str] | None = None


def written_state(notebook: KeptNotebook, variables: Sequence[str] | None) -> dict[str, Any]:
    """Return the state of a notebook as JSON. The oldest cells are left out if it would be too large."""
    most = MOST_CELLS
    state = _written(notebook, variables, most)
    while most and len(json.dumps(state, ensure_ascii=False).encode()) > LARGEST_STATE * 9 // 10:
        most //= 2
        state = _written(notebook, variables, most)
    return state


def _written(notebook: KeptNotebook, variables: Sequence[str] | None, most: int) -> dict[str, Any]:
    writer, branches = CellWriter(), notebook.branches
    at = writer.point(branches.clean)
    known, received = notebook.uploaded.kept()
    return {
        "version": VERSION,
        "number": notebook.ledger.cell,
        "at": at,
        "tree": writer.written(branches.tree, most),
        "said": _preferences(notebook.choices.said),
        "approval": notebook.approvals.said.to_json() if notebook.approvals.said is not None else None,
        "notes": list(notebook.notes),
        "params": dict(notebook.container.params),
        "records": [_record(each) for each in list(notebook.ledger.records)[-min(most, MOST_RECORDS) :]],
        "uploads": {
            target: [str(file.path.absolute()), file.size, list(file.mark), digest]
            for target, (file, digest) in list(known.items())[:most]
        },
        "received": sorted(received)[:most],
        "skills": notebook.skills.to_json(),
        "documents": notebook.documents.to_json(),
        "cassettes": notebook.recording.written[-MOST_CASSETTES:],
        "variables": None if variables is None else list(variables),
    }


def read_state(found: Json) -> NotebookState:
    """Return the state as it was written. Raises `StateUnreadable`."""
    if not found:
        return NotebookState()
    version = found.get("version")
    if isinstance(version, int) and version > VERSION:
        raise StateUnreadable("a newer agent-kernel has written it")
    try:
        return _read(found)
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError, InvalidRequest) as error:
        raise StateUnreadable("it is damaged") from error


def _read(found: Json) -> NotebookState:
    reader, approval = CellReader(found["tree"]), found["approval"]
    at, variables = found["at"], found["variables"]
    return NotebookState(
        number=int(found["number"]),
        tree=reader.tree(),
        points=reader.points,
        at=reader.point(at),
        said=from_metadata({METADATA_KEY: found["said"]}, where="the kept session"),
        approval=None if approval is None else read_policy(approval),
        notes=tuple(str(each) for each in found["notes"]),
        params=dict(found["params"]),
        records=[_read_record(each) for each in found["records"]],
        uploads={
            str(target): (HostFile(Path(path), int(size), tuple(map(int, mark))), str(digest))
            for target, (path, size, mark, digest) in found["uploads"].items()
        },
        received=tuple(str(each) for each in found["received"]),
        cassettes=tuple(str(each) for each in found.get("cassettes", ())),
        skills=read_chosen(found.get("skills")),
        documents=read_documents(found.get("documents")),
        variables=None if variables is None else tuple(str(each) for each in variables),
    )


def _preferences(said: Preferences) -> dict[str, Any]:
    found = {
        "model": said.model, "instructions": said.instructions, "budget": said.budget,
        "provenance": said.provenance, "drift": said.drift, "rerun": said.rerun,
        "drift_ignore": None if said.drift_ignore is None else list(said.drift_ignore),
    }  # fmt: skip
    return {name: value for name, value in found.items() if value is not None}


def _record(record: TurnRecord) -> dict[str, Any]:
    found = asdict(record)
    return {**found, "asked": record.asked[:LONGEST_ASKED], "paths": list(record.paths)[:20]}


def _read_record(found: Json) -> TurnRecord:
    from agent_kernel.kernel.costs.compute import read_compute

    context = found["context"]
    return TurnRecord(
        int(found["cell"]), str(found["asked"]), int(found["again"]), str(found["model"]),
        [str(each) for each in found["response_ids"]], int(found["input_tokens"]),
        int(found["output_tokens"]), None if context is None else (int(context[0]), int(context[1])),
        found["container_id"] and str(found["container_id"]), tuple(str(each) for each in found["paths"]),
        found["error"] and str(found["error"]), read_compute(found.get("compute")),
    )  # fmt: skip
