"""Where a notebook's commands run: the sandbox, the digest of its image, and versions of packages."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from agent_kernel.cassettes.cassette import Surroundings

if TYPE_CHECKING:
    from agent_kernel.runtime.base import Runtime

PACKAGES = (
    "duckdb", "lxml", "matplotlib", "numpy", "openpyxl", "pandas", "polars", "pyarrow", "pyreadstat",
    "python-calamine", "scikit-learn", "scipy", "seaborn", "statsmodels", "xlrd",
)  # fmt: skip
"""The packages whose versions are noted: those of the toolbox that do the work."""

_PROGRAM = f"""
import importlib.metadata, json, platform
found = {{"python": platform.python_version()}}
for name in {list(PACKAGES)!r}:
    try:
        found[name] = importlib.metadata.version(name)
    except Exception:
        pass
print(json.dumps(found))
"""
_VERSION = re.compile(r"[\w.+!~-]{1,60}")
_MAX_ANSWER = 64 << 10


async def surroundings(runtime: Runtime, container_id: str, shell_model: str) -> Surroundings:
    """Return the surroundings of a container. It runs one command there, hidden from the model.

    Raises what `Containers.retrieve` and `Runtime.respond` raise.
    """
    found = await runtime.containers.retrieve(container_id)
    ours = (found.model_extra or {}).get("agent_kernel")
    known: Mapping[str, Any] = ours if isinstance(ours, Mapping) else {}
    text = await _private(runtime, container_id, shell_model)
    return Surroundings(
        _clean(known.get("sandbox")), _clean(known.get("image_digest")), _packages(text[:_MAX_ANSWER])
    )


async def _private(runtime: Runtime, container_id: str, shell_model: str) -> str:
    environment = {"type": "container_reference", "container_id": container_id}
    request: dict[str, Any] = {
        "model": shell_model,
        "input": f"(python3 - <<'PROGRAM' 2>/dev/null\n{_PROGRAM}PROGRAM\n)",
        "tools": [{"type": "shell", "environment": environment}],
        "store": False,
        "stream": True,
    }
    async with aclosing(runtime.respond(request)) as events:
        async for event in events:
            if event.type == "response.output_item.done" and event.item.type == "shell_call_output":
                item = event.item.to_dict(mode="json", warnings=False)
                parts: Any = item.get("output") or ()
                return "".join(str(part.get("stdout") or "") for part in parts)
    return ""


def _packages(text: str) -> dict[str, str]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    wanted = ("python", *PACKAGES)
    return {name: version for name in wanted if _VERSION.fullmatch(version := str(found.get(name) or ""))}


def _clean(value: object) -> str:
    text = str(value or "")
    return text if re.fullmatch(r"[\w.:@/+-]{1,200}", text) else ""
