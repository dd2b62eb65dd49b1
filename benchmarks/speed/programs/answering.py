"""Answer questions: a line of JSON in, `[question, arguments]`, a line of JSON out.

Run by `benchmarks.speed.residents` with a build's interpreter and modules. It ends with its input.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

from benchmarks.speed.programs.sandboxes import Sandboxes
from benchmarks.speed.programs.turns import Turns


async def answer(answers: int) -> None:
    """Answer until the input ends, and remove what was made."""
    parts: list[Any] = [Sandboxes(), Turns()]
    try:
        while line := await asyncio.to_thread(sys.stdin.readline):
            name, arguments = json.loads(line)
            asked = next(getattr(part, name) for part in parts if hasattr(part, name))
            try:
                told: dict[str, Any] = await asked(**arguments)
            except Exception as error:  # noqa: BLE001 (it is told to whoever asked)
                told = {"error": f"{name}: {type(error).__name__}: {error}"}
            os.write(answers, json.dumps(told).encode() + b"\n")
    finally:
        for part in parts:
            await part.aclose()


if __name__ == "__main__":
    kept = os.dup(1)
    os.dup2(2, 1)  # whatever prints, the answers stay alone
    asyncio.run(answer(kept))
