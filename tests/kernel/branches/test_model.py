"""Random sequences of runs, ways back and branches, against a simple model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent_kernel.kernel.branches.drawing import rows
from agent_kernel.kernel.branches.tree import CellTree
from agent_kernel.kernel.keeping.cells_as_json import CellReader, CellWriter
from agent_kernel.kernel.settings import KernelSettings
from agent_kernel.sandboxes.base import Backend
from tests.kernel.branches.memory import Desk
from tests.kernel.branches.model import NotebookModel, Seen, Step, steps
from tests.kernel.branches.real import cells_on, walk

MANY = 10_000
LONG, LONG_ON_DOCKER = 2000, 200
"""Steps in a sandbox; every run takes a fifth of them."""


async def do(desk: Desk, step: Step) -> None:
    match step.kind:
        case "run":
            await desk.run(step.name, step.text)
        case "private":
            await desk.write(step.text)
        case "rewind":
            await desk.branches.rewind(step.name, desk.outputs)
        case "switch":
            await desk.branches.switch(step.name, desk.outputs)
        case "name":
            desk.branches.rename(step.name, step.text)
        case "delete":
            await desk.branches.delete(step.name)
        case "renew":
            await desk.container.renew({}, desk.outputs)


def kept_and_read(tree: CellTree) -> CellTree:
    """Return a tree as a kept session brings it back."""
    return CellReader(json.loads(json.dumps(CellWriter().written(tree, MANY)))).tree()


def drawn(tree: CellTree) -> list[Any]:
    """Return what a tree shows: cells, and branches with their cells."""
    paths = [(branch.name, [cell.number for cell in branch.path()]) for branch in tree.branches]
    return [rows(tree, []), paths]


@pytest.mark.parametrize("seed", range(3))
async def test_random_steps_in_memory(seed: int) -> None:
    desk, model = Desk(KernelSettings(max_points=MANY, max_points_size=MANY**3)), NotebookModel()
    await desk.container.open(desk.outputs)
    for step in steps(seed, 400, model, delete=20, restart=0, keep=0):
        await do(desk, step)
        model.take(step)
        tree = desk.branches.tree
        assert Seen(tuple(desk.done), desk.said) == model.here.state, step
        assert {each.name for each in tree.branches} == {model.here.name, *model.others}, step
        assert drawn(kept_and_read(tree)) == drawn(tree), step
    used = {point.id for point in desk.branches.tree.points() if not point.gone}
    assert len(desk.containers.kept) - len(used) in (0, 1), "what nothing leads to was removed"


@pytest.mark.unsplit("random steps")
@pytest.mark.timeout(900)
@pytest.mark.bubblewrap
async def test_random_steps_in_a_sandbox(bubblewrap_backend: Backend, tmp_path: Path) -> None:
    async with cells_on(bubblewrap_backend, tmp_path) as cells:
        await walk(cells, 1, LONG // 5)


@pytest.mark.unsplit("random steps")
@pytest.mark.timeout(900)
@pytest.mark.docker
async def test_random_steps_on_docker(docker_backend: Backend, tmp_path: Path) -> None:
    async with cells_on(docker_backend, tmp_path) as cells:
        await walk(cells, 4, LONG_ON_DOCKER // 5)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.bubblewrap
async def test_many_random_steps_in_a_sandbox(bubblewrap_backend: Backend, tmp_path: Path) -> None:
    async with cells_on(bubblewrap_backend, tmp_path) as cells:
        await walk(cells, 2, LONG)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.docker
async def test_many_random_steps_on_docker(docker_backend: Backend, tmp_path: Path) -> None:
    async with cells_on(docker_backend, tmp_path) as cells:
        await walk(cells, 3, LONG_ON_DOCKER)
