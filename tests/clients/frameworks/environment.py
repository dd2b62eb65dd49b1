"""Scripts of frameworks as processes, each in the environment of its lock."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

from tests.environments import environment

FOLDER = Path(__file__).parent
NOWHERE = "http://127.0.0.1:9"  # whatever is not loopback ends here


async def run(name: str, url: str, key: str, model: str, home: Path) -> dict[str, Any]:
    """Run the script of a framework against `url`; it prints what it saw as one JSON object, last.

    Raises `EnvironmentMissing`.
    """
    made = await asyncio.to_thread(environment, name, FOLDER / "locks" / f"{name}.txt")
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("AGENT_KERNEL_", "OPENAI_", "PYTHON"))}
    process = await asyncio.create_subprocess_exec(
        str(made / "bin" / "python"),
        "-P",  # not from the script's folder
        str(FOLDER / "scripts" / f"with_{name}.py"),
        cwd=home,
        env={
            **kept,
            "HOME": str(home),
            "OPENAI_BASE_URL": url,
            "OPENAI_API_KEY": key,
            "MODEL": model,
            "HTTP_PROXY": NOWHERE,
            "HTTPS_PROXY": NOWHERE,
            "NO_PROXY": "127.0.0.1",
            "CREWAI_DISABLE_TELEMETRY": "true",
            "OTEL_SDK_DISABLED": "true",
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), 300)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, out.decode() + err.decode()
    return dict(json.loads(out.splitlines()[-1]))
