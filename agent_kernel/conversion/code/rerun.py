"""Run the code of an exported notebook in a container, step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from agent_kernel.errors import AgentKernelError
from agent_kernel.models.catalogue import PYTHON
from agent_kernel.runtime.base import Runtime

Json = Mapping[str, Any]


@dataclass(frozen=True)
class CodeRun:
    """What came of a piece of code: Jupyter's outputs, and how it ended: empty if it succeeded."""

    outputs: tuple[Json, ...] = ()
    ended: str = ""


async def run_code(runtime: Runtime, container_id: str, code: str) -> CodeRun:
    """Run code in the container's Python session, which keeps its variables. Cancelling ends it.

    Raises what `Runtime.respond` raises.
    """
    tool = {"type": "code_interpreter", "container": container_id, "agent_kernel": {"outputs": True}}
    request = {"model": PYTHON, "input": code, "tools": [tool], "store": False, "stream": True}
    ran = CodeRun((), "did not run")
    async with aclosing(runtime.respond(request)) as events:
        async for event in events:
            if event.type == "response.output_item.done" and event.item.type == "code_interpreter_call":
                ran = _ran(event.item.to_dict(mode="json", warnings=False))
    return ran


def _ran(item: Json) -> CodeRun:
    ours = item.get("agent_kernel") or {}
    outputs = tuple(each for each in ours.get("outputs") or () if isinstance(each, Mapping))
    errors = [each for each in outputs if each.get("output_type") == "error"]
    if errors:
        return CodeRun(outputs, f"{errors[-1].get('ename')}: {errors[-1].get('evalue')}".partition("\n")[0])
    return CodeRun(outputs, "" if item.get("status") == "completed" else "did not run to its end")


async def run_all(runtime: Runtime, container_id: str, codes: Sequence[str]) -> list[CodeRun]:
    """Run pieces of code in order. One that cannot run ends the list with the reason."""
    runs: list[CodeRun] = []
    for code in codes:
        try:
            runs.append(await run_code(runtime, container_id, code))
        except AgentKernelError as error:
            return [*runs, CodeRun((), error.message)]
    return runs
