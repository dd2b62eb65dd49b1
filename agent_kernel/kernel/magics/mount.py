"""The magic for folders that the operator lets containers read: `%mount`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent_kernel.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openai.types import ContainerCreateResponse

    from agent_kernel.kernel.notebook import Notebook
    from agent_kernel.kernel.outputs import CellOutputs


async def mount(notebook: Notebook, outputs: CellOutputs, arguments: str) -> None:
    """List the folders that can be mounted, or mount some in this notebook's container."""
    words = arguments.split()
    names = [word for word in words if word != "--new"]
    if any(name.startswith("-") for name in names) or (words and not names):
        raise InvalidRequest(
            f"%mount does not know {arguments!r}." if names else "%mount --new needs the name of a folder.",
            hint="For example: %mount sales. %mount alone lists the folders.",
        )
    if not names:
        await _list(notebook, outputs)
        return
    fresh = "--new" in words
    paths = await _paths(notebook, names)
    if await _missing(notebook, names) or fresh:
        await _begin(notebook, outputs, names, fresh=fresh)
    _tell(outputs, paths)


async def _list(notebook: Notebook, outputs: CellOutputs) -> None:
    from agent_kernel.kernel.render.bundles import note, table

    available = await (await notebook.runtime()).containers.mounts()
    if not available:
        outputs.result(note("No folders can be mounted: the operator names them in `AGENT_KERNEL_MOUNTS`."))
        return
    missing = await _missing(notebook, list(available))
    rows = [[name, path, "no" if name in missing else "yes"] for name, path in available.items()]
    outputs.result(table(["folder", "in the container", "mounted"], rows).bundle())


async def _paths(notebook: Notebook, names: Sequence[str]) -> list[str]:
    """Return the paths in the container. Raises `InvalidRequest` for a name that is not offered."""
    available = await (await notebook.runtime()).containers.mounts()
    for name in names:
        if name not in available:
            raise InvalidRequest(
                f"There is no folder {name!r} to mount. Available: {', '.join(available) or 'none'}.",
                hint="The operator names them in AGENT_KERNEL_MOUNTS.",
            )
    return [available[name] for name in names]


async def _missing(notebook: Notebook, names: Sequence[str]) -> list[str]:
    """Return those of `names` that the notebook's container does not have; all if there is none yet."""
    if notebook.container.id is None:
        return list(names)
    found = await (await notebook.runtime()).containers.retrieve(notebook.container.id)
    return [name for name in names if name not in mounted(found)]


async def _begin(notebook: Notebook, outputs: CellOutputs, names: Sequence[str], *, fresh: bool) -> None:
    params: dict[str, Any] = {"agent_kernel": {"mounts": list(names)}}
    if (policy := notebook.container.params.get("network_policy")) is not None:
        params["network_policy"] = policy
    if notebook.container.id is None or fresh:
        await notebook.container.renew(params, outputs)
        return
    raise InvalidRequest(
        "Folders can be mounted only when a container is created, and this notebook has one.",
        hint=f"Replace it with an empty one: %mount {' '.join(names)} --new",
    )


def _tell(outputs: CellOutputs, paths: Sequence[str]) -> None:
    from agent_kernel.kernel.render.bundles import note

    places = ", ".join(f"`{path}`" for path in paths)
    outputs.emit(note(f"Mounted, read-only: {places}."))


def mounted(found: ContainerCreateResponse) -> list[str]:
    """Return the names of the folders that are mounted in a container."""
    ours = (found.model_extra or {}).get("agent_kernel")
    names = ours.get("mounts") if isinstance(ours, dict) else None
    return [str(name) for name in names] if isinstance(names, list) else []
