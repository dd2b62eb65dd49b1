"""A simple model of going back, and random steps on it and on the real thing."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from agent_kernel.kernel.branches.tree import MOST_BRANCHES

State = tuple[str, ...]
"""What cells and private commands have done, oldest first."""


@dataclass(frozen=True)
class Seen:
    """The state of a notebook: of its container, and of its conversation."""

    container: State = ()
    said: State = ()


@dataclass(frozen=True)
class Entry:
    """A cell that ran, and the state before it."""

    cell_id: str
    number: int
    before: Seen


@dataclass
class Line:
    """A branch: its cells and the state at its tip."""

    name: str
    cells: tuple[Entry, ...] = ()
    state: Seen = Seen()


@dataclass(frozen=True)
class Step:
    """One thing that a user does.

    `name` is a cell id, a cell's number, a branch or a kept session, `text` what is written, or a new name.
    """

    kind: Literal[
        "run", "private", "rewind", "name", "switch", "delete", "renew", "restart", "keep", "resume", "forget"
    ]
    name: str = ""
    text: str = ""


MOST_SESSIONS = 3


@dataclass
class NotebookModel:
    """What must come of the steps, in the fewest words."""

    session: str = ""
    """The kept session that this notebook is; empty if it is not kept."""
    kept: dict[str, NotebookModel] = field(default_factory=dict)
    """The other kept sessions, as they were left."""
    shown: list[int] = field(default_factory=list)
    """The numbers of the cells in the notebook: the model counts only those that change something."""

    here: Line = field(default_factory=lambda: Line("b1"))
    others: dict[str, Line] = field(default_factory=dict)
    _made: int = 1
    _run: int = 0
    _cut: int = 0
    """Cells of the branch in use that ran in a container that is gone."""

    def take(self, step: Step) -> None:
        getattr(self, f"_{step.kind}_")(step)

    def _run_(self, step: Step) -> None:
        ids = [entry.cell_id for entry in self.here.cells[self._cut :]]
        if step.name in ids:
            last = self._cut + len(ids) - 1 - ids[::-1].index(step.name)
            self._leave(last)
        self._run += 1
        here, before = self.here, self.here.state
        here.cells += (Entry(step.name, self._run, before),)
        here.state = Seen((*before.container, step.text), (*before.said, step.text))

    def _private_(self, step: Step) -> None:
        state = self.here.state
        self.here.state = replace(state, container=(*state.container, step.text))

    def _leave(self, index: int) -> None:
        """Go back to before the cell at this place on the branch in use."""
        here = self.here
        entry = here.cells[index]
        name = self._name()
        self._keep(Line(name, here.cells, here.state))
        here.cells, here.state = here.cells[:index], entry.before

    def _rewind_(self, step: Step) -> None:
        number = int(step.name)
        for index, entry in enumerate(self.here.cells):
            if entry.number == number:
                self._leave(index)
                return
        line, index = next(
            (line, index)
            for line in self.others.values()
            for index, entry in enumerate(line.cells)
            if entry.number == number
        )
        kept = line.cells[:index]
        if kept == self.here.cells[:index]:  # the cell before it is on the branch in use
            if len(self.here.cells) > index:
                name = self._name()
                self._keep(Line(name, self.here.cells, self.here.state))
            self.here.cells, self.here.state = kept, line.cells[index].before
            return
        self._keep(self.here)
        self.here = Line(self._name(), kept, line.cells[index].before)

    def _switch_(self, step: Step) -> None:
        line = self.others.pop(step.name)
        self._keep(self.here)
        self.here = line

    def _name_(self, step: Step) -> None:
        if self.here.name == step.name:
            self.here.name = step.text
        else:
            self.others[step.name].name = step.text
            self.others = {line.name: line for line in self.others.values()}

    def _delete_(self, step: Step) -> None:
        del self.others[step.name]

    def _renew_(self, _step: Step) -> None:
        self.others.clear()
        self._cut = len(self.here.cells)
        self.here.state = Seen((), self.here.state.said)

    def _restart_(self, _step: Step) -> None:
        self._become(NotebookModel())

    def _keep_(self, step: Step) -> None:
        self.session = step.text

    def _resume_(self, step: Step) -> None:
        self._become(self.kept.pop(step.name))

    def _forget_(self, step: Step) -> None:
        if step.name == self.session:
            self.session = ""
        else:
            del self.kept[step.name]

    def _become(self, other: NotebookModel) -> None:
        kept = self.kept
        if self.session:
            kept[self.session] = replace(self, kept={})
        self.__dict__.update(other.__dict__)
        self.kept = kept

    def _keep(self, line: Line) -> None:
        self.others[line.name] = line
        if len(self.others) > MOST_BRANCHES:
            del self.others[next(iter(self.others))]

    def _name(self) -> str:
        self._made += 1
        return f"b{self._made}"

    def numbers(self) -> list[int]:
        """The numbers of the cells that can be gone back to."""
        lines = [self.here.cells[self._cut :], *(line.cells[self._cut :] for line in self.others.values())]
        return sorted({entry.number for cells in lines for entry in cells})


def steps(seed: int, count: int, model: NotebookModel, **weights: int) -> Iterator[Step]:
    """Yield random steps that are possible in the state that the model has then."""
    chance = random.Random(seed)
    kinds: dict[Any, int] = {
        "run": 50,
        "private": 10,
        "rewind": 14,
        "switch": 16,
        "name": 4,
        "delete": 6,
        "renew": 1,
        "restart": 3,
        "keep": 6,
        "resume": 8,
        "forget": 2,
        **weights,
    }
    for number in range(count):
        sessions = [*model.kept, *filter(None, [model.session])]
        needs = {
            "switch": model.others,
            "delete": model.others,
            "rewind": model.numbers(),
            "keep": not model.session and model.numbers() and len(sessions) < MOST_SESSIONS,
            "resume": model.kept,
            "forget": sessions,
        }
        possible = [kind for kind in kinds if needs.get(kind, True)]
        kind = chance.choices(possible, [kinds[each] for each in possible])[0]
        name = ""
        if kind == "run":
            name = f"c{chance.randrange(8)}"
        elif kind == "rewind":
            name = str(chance.choice(model.numbers()))
        elif kind == "name":
            name = chance.choice([model.here.name, *model.others])
        elif kind in ("switch", "delete"):
            name = chance.choice(list(model.others))
        elif kind == "resume":
            name = chance.choice(list(model.kept))
        elif kind == "forget":
            name = chance.choice(sessions)
        yield Step(kind, name, f"s{number}")
