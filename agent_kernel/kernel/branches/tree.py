"""The tree of cells that ran: each knows the cell it continued, and the moment just before it. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from agent_kernel.errors import InvalidRequest

MOST_BRANCHES = 50
"""The number of branches besides the one in use; the oldest goes first."""

MOST_REMOVED = 200
"""The number of removed branches that are remembered by name."""


@dataclass(eq=False)
class Point:
    """A snapshot of a container. `size` in bytes, `created` in seconds since 1970.

    `gone` says why there is no such snapshot any more; empty while there is one.
    """

    container_id: str
    id: str
    size: int
    created: float
    gone: str = ""


@dataclass(frozen=True)
class Position:
    """Where a conversation stands: the response to continue, what the model is still to be told, and uploads.

    `uploaded` is the conversation's own; nothing here looks into it.
    """

    previous_id: str | None = None
    notes: tuple[str, ...] = ()
    uploaded: object = None


@dataclass(frozen=True)
class KeptState:
    """The state of a notebook between two cells. Without a `point`, `missing` says why there is none."""

    position: Position
    point: Point | None = None
    missing: str = ""

    @property
    def obstacle(self) -> str:
        """Why the container cannot go back to it; empty if it can."""
        return self.missing if self.point is None else self.point.gone


@dataclass(eq=False)
class RanCell:
    """A cell that ran: `In [number]`, the cell that it continued, and the moment before it.

    `began` in seconds since 1970. `response_id` is its last response, None while it runs.
    """

    number: int
    cell_id: str | None
    words: str
    began: float
    parent: RanCell | None
    before: KeptState
    container_id: str | None = None
    response_id: str | None = None

    def path(self) -> list[RanCell]:
        """Return the cells from the first one to this one."""
        found: list[RanCell] = []
        cell: RanCell | None = self
        while cell is not None:
            found.append(cell)
            cell = cell.parent
        return found[::-1]


@dataclass(eq=False)
class Branch:
    """A line of cells. `moment` is the state at its tip; None for the branch in use."""

    name: str
    tip: RanCell | None = None
    moment: KeptState | None = None

    def path(self) -> list[RanCell]:
        """Return the cells from the first one to the tip."""
        return self.tip.path() if self.tip is not None else []


@dataclass(frozen=True)
class Undone:
    """What going back left behind: its cells, oldest first, and the branch that keeps them, if it is new."""

    cells: tuple[RanCell, ...]
    branch: Branch | None


@dataclass
class CellTree:
    """The cells of one notebook and its branches. `here` is the branch in use."""

    here: Branch = field(default_factory=lambda: Branch("b1"))
    others: dict[str, Branch] = field(default_factory=dict)
    removed: dict[str, str] = field(default_factory=dict)
    """Why branches were removed that the user did not delete, by name."""
    _made: int = 1

    @property
    def branches(self) -> list[Branch]:
        """All branches, the one in use first."""
        return [self.here, *self.others.values()]

    def cells(self) -> list[RanCell]:
        """Return the cells of all branches in the order in which they ran."""
        found = {id(cell): cell for branch in self.branches for cell in branch.path()}
        return sorted(found.values(), key=lambda cell: (cell.began, cell.number))

    def points(self) -> Iterator[Point]:
        """Yield the points that cells and branches can go back to; one may come several times."""
        moments = [cell.before for cell in self.cells()]
        moments += [branch.moment for branch in self.others.values() if branch.moment is not None]
        yield from (each.point for each in moments if each.point is not None)

    def find(self, cell_id: str, container_id: str | None) -> RanCell | None:
        """Return the last run of a cell on the branch in use, in this container."""
        here = reversed(self.here.path())
        return next((c for c in here if c.cell_id == cell_id and c.container_id == container_id), None)

    def wanted(self, word: str) -> RanCell:
        """Return the cell with this number or id; without a word the last one. Raises `InvalidRequest`."""
        known = self.here.path() if not word else self.cells()
        asked = word.removeprefix("[").removesuffix("]")
        for cell in reversed(known):
            if not word or str(cell.number) == asked or cell.cell_id == word:
                return cell
        if not known:
            raise InvalidRequest("No cell has run yet, so there is nothing to go back to.")
        raise InvalidRequest(f"No cell {word[:80]} has run here.", hint="%history lists the cells.")

    def stale(self) -> list[str]:
        """Return the ids of cells that ran, but not on the branch in use."""
        now = {cell.cell_id for cell in self.here.path()}
        found = dict.fromkeys(cell.cell_id for cell in self.cells())
        return [each for each in found if each is not None and each not in now]

    def append(self, cell: RanCell) -> None:
        """Add a cell to the branch in use."""
        self.here.tip = cell

    def drop(self, cell: RanCell) -> None:
        """Take back the cell that was added last: it has done nothing."""
        if self.here.tip is cell:
            self.here.tip = cell.parent

    def go_back(self, parent: RanCell | None, now: KeptState) -> Undone:
        """Make `parent` the last cell. What came after it is kept as a new branch with the state `now`.

        If `parent` is on another branch, the branch in use keeps its name, and a new one begins.
        """
        path = self.here.path()
        if parent is not None and parent not in path:
            self.here.moment = now
            self._keep(self.here)
            self.here = Branch(self._name(), parent)
            return Undone((), None)
        undone = path[path.index(parent) + 1 :] if parent is not None else path
        branch = None
        if undone:
            branch = Branch(self._name(), self.here.tip, now)
            self._keep(branch)
        self.here.tip = parent
        return Undone(tuple(undone), branch)

    def switch(self, name: str, now: KeptState) -> None:
        """Use another branch. The one in use is kept with the state `now`."""
        branch = self.other(name)
        self.here.moment = now
        del self.others[name]
        self._keep(self.here)
        branch.moment, self.here = None, branch

    def other(self, name: str) -> Branch:
        """Return a branch that is not in use. Raises `InvalidRequest`."""
        if name in self.others:
            return self.others[name]
        if name == self.here.name:
            raise InvalidRequest(f"{name} is the branch in use.", hint="%branch lists all.")
        if name in self.removed:
            raise InvalidRequest(f"Branch {name} was removed: {self.removed[name]}.")
        known = ", ".join(self.others) or "none besides the one in use"
        raise InvalidRequest(f"There is no branch {name[:80]}.", hint=f"Branches: {known}.")

    def rename(self, old: str, new: str) -> None:
        """Give a branch another name. Raises `InvalidRequest` for one that cannot be used."""
        if not new or len(new) > 40 or not all(each.isalnum() or each in "-_." for each in new):
            raise InvalidRequest(
                "The name of a branch has letters, digits, `-`, `_` and `.`, 40 at most.",
                hint="For example: %branch name first-try",
            )
        if new in self.others or new == self.here.name:
            raise InvalidRequest(f"There is a branch {new} already.", hint="%branch lists all.")
        if old == self.here.name:
            self.here.name = new
            return
        branch = self.other(old)
        branch.name = new
        self.others = {each.name: each for each in self.others.values()}

    def delete(self, name: str) -> None:
        """Remove a branch with the cells that only it has. Raises `InvalidRequest` for the one in use."""
        self.other(name)
        del self.others[name]

    def remove_gone(self) -> None:
        """Remove the branches whose point is gone."""
        for name, branch in list(self.others.items()):
            if branch.moment is not None and branch.moment.point is not None and branch.moment.obstacle:
                self._remove(name, branch.moment.obstacle)

    def cut(self, why: str) -> None:
        """Forget all points and the other branches: their container is gone."""
        for point in self.points():
            point.gone = point.gone or why
        for name in list(self.others):
            self._remove(name, why)

    def _keep(self, branch: Branch) -> None:
        self.others[branch.name] = branch
        while len(self.others) > MOST_BRANCHES:
            self._remove(next(iter(self.others)), f"at most {MOST_BRANCHES} branches are kept")

    def _remove(self, name: str, why: str) -> None:
        del self.others[name]
        self.removed[name] = why
        while len(self.removed) > MOST_REMOVED:
            del self.removed[next(iter(self.removed))]

    def _name(self) -> str:
        """Return a name that no branch has or had."""
        while True:
            self._made += 1
            name = f"b{self._made}"
            if name not in self.others and name not in self.removed and name != self.here.name:
                return name
