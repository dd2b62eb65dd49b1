"""Checkpoints of containers: images that the engine commits (blocking calls)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from agent_kernel.errors import SandboxError, SandboxGone
from agent_kernel.sandboxes.base import WORKSPACE, Snapshot
from agent_kernel.sandboxes.docker_container import LABELS_LABEL, container_name
from agent_kernel.sandboxes.docker_engine import reason
from agent_kernel.sandboxes.launch import KEPT_WORKSPACE

if TYPE_CHECKING:
    from docker import APIClient

REPOSITORY = "agent-kernel/snapshot"
SNAPSHOT_LABEL = "agent_kernel.snapshot"


def image_of(id: str) -> str:  # noqa: A002 (the field's own word)
    """The image that holds a checkpoint."""
    return f"{REPOSITORY}:{id}"


def commit(api: APIClient, sandbox_id: str, id: str, labels: Mapping[str, str]) -> Snapshot:  # noqa: A002
    """Commit a container; the engine pauses it meanwhile. Raises `SandboxGone`, `SandboxError`.

    An image has no part of a volume: the files of a workspace on one are copied beside it for the commit.
    """
    from docker.errors import APIError, NotFound

    name = container_name(sandbox_id)
    marks = {SNAPSHOT_LABEL: id, LABELS_LABEL: json.dumps(dict(labels))}
    changes = [f"LABEL {name}={json.dumps(value)}" for name, value in marks.items()]
    try:
        on_volume = any(mount["Destination"] == WORKSPACE for mount in api.inspect_container(name)["Mounts"])
        if not on_volume:
            api.commit(name, REPOSITORY, id, changes=changes)
            return _describe(api, image_of(id), id, labels)
        try:
            _run(api, name, f"rm -rf {KEPT_WORKSPACE} && cp -a {WORKSPACE} {KEPT_WORKSPACE}")
            api.commit(name, REPOSITORY, id, changes=changes)
        finally:
            _run(api, name, f"rm -rf {KEPT_WORKSPACE}")
        return _describe(api, image_of(id), id, labels)
    except NotFound as error:
        raise SandboxGone(f"The sandbox {sandbox_id} is gone.") from error
    except APIError as error:
        raise SandboxError(f"The engine did not make the checkpoint: {reason(error)}.") from error


def _run(api: APIClient, name: str, command: str) -> None:
    # With an input of its own: gVisor gives the host's /dev/null to the user it runs as, where it gets that.
    made = api.exec_create(name, ["bash", "-c", command], user="0:0", stdin=True)
    said = api.exec_start(made["Id"])
    if api.exec_inspect(made["Id"])["ExitCode"]:
        words = said.decode(errors="replace").strip()[:300]
        raise SandboxError(f"The workspace was not copied into the checkpoint: {words}.")


def snapshots(api: APIClient) -> list[Snapshot]:
    """All checkpoints, oldest first."""
    found = []
    for image in api.images(filters={"label": SNAPSHOT_LABEL}):
        labels = image.get("Labels") or {}
        for tag in image.get("RepoTags") or []:
            if tag.startswith(REPOSITORY + ":"):
                asked = json.loads(labels.get(LABELS_LABEL, "{}"))
                found.append(_describe(api, tag, tag.removeprefix(REPOSITORY + ":"), asked))
    return sorted(found, key=lambda snapshot: snapshot.created_at)


def remove(api: APIClient, id: str) -> None:  # noqa: A002
    """Remove a checkpoint's image; gone already is no error. Raises `SandboxError`."""
    from docker.errors import APIError, NotFound

    try:
        api.remove_image(image_of(id))
    except NotFound:
        return
    except APIError as error:
        raise SandboxError(f"The engine did not remove the checkpoint {id}: {reason(error)}.") from error


def _describe(api: APIClient, image: str, id: str, labels: Mapping[str, str]) -> Snapshot:  # noqa: A002
    """A checkpoint's size is that of the layer on top of what its sandbox began with."""
    inspected: dict[str, Any] = api.inspect_image(image)  # type: ignore[no-untyped-call]  # the stubs leave it bare
    created = datetime.fromisoformat(inspected["Created"][:19] + "+00:00").timestamp()
    history: list[dict[str, Any]] = api.history(image)  # type: ignore[no-untyped-call]  # likewise
    return Snapshot(id, "docker", created, history[0]["Size"], dict(labels))
