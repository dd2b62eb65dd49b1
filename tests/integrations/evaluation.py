"""An evaluation with Inspect: a sample's file, a command in the sandbox, and a scorer that reads the result.

The solver asks no model: Inspect counts the tokens of a model's messages with tables that it downloads.
"""

from __future__ import annotations

from inspect_ai import Task, eval  # noqa: A004 (Inspect's own name)
from inspect_ai.dataset import Sample
from inspect_ai.scorer import Score, accuracy, scorer
from inspect_ai.solver import solver
from inspect_ai.util import sandbox

import agent_kernel.integrations.inspect  # noqa: F401 (registers the sandbox)

COMMAND = "sort -n numbers.txt | tail -1 > answer.txt"


@solver
def runs_a_command():  # type: ignore[no-untyped-def]
    async def solve(state, generate):  # type: ignore[no-untyped-def]
        assert (await sandbox().exec(["bash", "-c", COMMAND])).success
        return state

    return solve


@scorer(metrics=[accuracy()])
def file_is_right():  # type: ignore[no-untyped-def]
    async def score(state, target):  # type: ignore[no-untyped-def]
        answer = await sandbox().read_file("answer.txt")
        return Score(value="C" if answer.strip() == target.text else "I")

    return score


def evaluate() -> str:
    """Run the evaluation on the sandbox that the environment names, and say how it ended."""
    task = Task(
        dataset=[Sample("Which is the largest number?", target="77", files={"numbers.txt": "5\n77\n12\n"})],
        solver=runs_a_command(),
        scorer=file_is_right(),
        sandbox="agent_kernel",
    )
    (log,) = eval(task, model="mockllm/model", display="none")
    found = log.results.scores[0].metrics["accuracy"].value if log.results else None
    return f"status={log.status} accuracy={found} {log.error.message if log.error else ''}"
