"""Checkpoints of containers: images that the engine commits (blocking calls)."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from agent_kernel.errors import SandboxError, SandboxGone
from agent_kernel.sandboxes.base import WORKSPACE
from agent_kernel.sandboxes.docker.container import LABELS_LABEL, container_name
from agent_kernel.sandboxes.docker.engine import has_image, reason
from agent_kernel.sandboxes.docker.layer_size import check_size
from agent_kernel.sandboxes.launch import KEPT_WORKSPACE
from agent_kernel.sandboxes.optional import Snapshot

if TYPE_CHECKING:
    from docker import APIClient

REPOSITORY = "agent-kernel/snapshot"
REMOVED = "agent-kernel/removed-snapshot"
"""The repository of checkpoints that were removed while a container ran from them."""

SNAPSHOT_LABEL = "agent_kernel.snapshot"
BASE_LABEL = "agent_kernel.base"
"""The label with the number of layers in the image of the chain's first sandbox."""

CONFLICT = 409
"""The engine's status for an image that is in use."""

MOST_LAYERS = 100
"""An image with more layers is flattened to one: storage drivers mount about 125 at most."""


def image_of(id: str) -> str:  # noqa: A002 (the field's own word)
    """Return the image that holds a checkpoint."""
    return f"{REPOSITORY}:{id}"


def commit(
    api: APIClient,
    sandbox_id: str,
    id: str,  # noqa: A002 (the field's own word)
    labels: Mapping[str, str],
    most: int | None = None,
) -> Snapshot:
    """Commit a container; the engine pauses it meanwhile. Raises `SandboxGone`, `SandboxError`.

    `most` is the most bytes that the new layer may take; None: what the engine's disk has room for. Images
    do not include volumes, so the files of a workspace on a volume are first copied out of it.
    """
    from docker.errors import APIError, NotFound

    name = container_name(sandbox_id)
    try:
        container: dict[str, Any] = api.inspect_container(name)
        on_volume = any(mount["Destination"] == WORKSPACE for mount in container["Mounts"])
        marks = {SNAPSHOT_LABEL: id, LABELS_LABEL: _packed(labels)}
        # Without a running sandbox, nothing can copy the volume's files; they stay on the volume.
        if not on_volume or not container["State"]["Running"]:
            check_size(api, container, most)
            _commit(api, container, id, marks)
            return _describe(api, image_of(id), id, labels)
        try:
            _run(api, name, f"rm -rf {KEPT_WORKSPACE} && cp -a {WORKSPACE} {KEPT_WORKSPACE}")
            check_size(api, container, most)
            _commit(api, container, id, marks)
        finally:
            _run(api, name, f"rm -rf {KEPT_WORKSPACE}")
        return _describe(api, image_of(id), id, labels)
    except NotFound as error:
        raise SandboxGone(f"The sandbox {sandbox_id} is gone.") from error
    except APIError as error:
        raise SandboxError(f"The engine did not make the checkpoint: {reason(error)}.") from error


def _commit(api: APIClient, container: dict[str, Any], id: str, marks: dict[str, str]) -> None:  # noqa: A002
    """Make the image: one more layer on the container's, or a single layer if there are too many."""
    began_with: dict[str, Any] = api.inspect_image(container["Image"])  # type: ignore[no-untyped-call]  # the stubs leave it bare
    layers = len(began_with["RootFS"]["Layers"])
    base = (began_with["Config"].get("Labels") or {}).get(BASE_LABEL, str(layers))
    if layers < MOST_LAYERS:
        api.commit(container["Id"], REPOSITORY, id, changes=_labelled({**marks, BASE_LABEL: base}))
        return
    variables = [_environment(entry) for entry in began_with["Config"].get("Env") or []]
    api.import_image_from_data(
        api.export(container["Id"]),
        image_of(id),  # with the tag in the name: Podman ignores a separate one
        changes=[*variables, f"WORKDIR {WORKSPACE}", *_labelled({**marks, BASE_LABEL: "0"})],
    )
    api.inspect_image(image_of(id))  # type: ignore[no-untyped-call]  # as above; the import's own failure is only in its words


def _packed(labels: Mapping[str, str]) -> str:
    """Return labels as base64 of JSON: engines disagree on how quotes inside a value are escaped."""
    return base64.b64encode(json.dumps(dict(labels)).encode()).decode()


def _unpacked(value: str) -> dict[str, str]:
    """Read what `_packed` made, and the plain JSON of earlier checkpoints."""
    labels: dict[str, str] = json.loads(value if value.startswith("{") else base64.b64decode(value))
    return labels


def _labelled(marks: Mapping[str, str]) -> list[str]:
    return [f"LABEL {name}={_quoted(value)}" for name, value in marks.items()]


def _environment(entry: str) -> str:
    name, _, value = entry.partition("=")
    return f"ENV {name}={_quoted(value)}"


def _quoted(value: str) -> str:
    """Quote a value for a Dockerfile's instruction, so that nothing in it is expanded."""
    return json.dumps(value).replace("$", "\\$")


def _run(api: APIClient, name: str, command: str) -> None:
    # With an input of its own: gVisor gives the host's /dev/null to the user it runs as, where it gets that.
    made = api.exec_create(name, ["bash", "-c", command], user="0:0", stdin=True)
    said = api.exec_start(made["Id"])
    if api.exec_inspect(made["Id"])["ExitCode"]:
        words = said.decode(errors="replace").strip()[:300]
        raise SandboxError(f"The workspace was not copied into the checkpoint: {words}.")


class SnapshotList:
    """Lists the checkpoints of an engine. An image never changes, so the engine describes each only once."""

    def __init__(self) -> None:
        self._described: dict[tuple[str, str], Snapshot] = {}

    def read(self, api: APIClient, wanted: Mapping[str, str]) -> list[Snapshot]:
        """Return the checkpoints with these labels, oldest first (blocking calls).

        One that another process removes meanwhile is left out.
        """
        there = {(name, image["Id"]): labels for image, name, labels in _tagged(api)}
        described = {key: found for key, found in self._described.items() if key in there}
        for key, labels in there.items():
            if key not in described and wanted.items() <= labels.items():
                new = _describe_if_there(api, key[0], labels)
                described.update({} if new is None else {key: new})
        self._described = described
        found = [each for each in described.values() if wanted.items() <= each.labels.items()]
        return sorted(found, key=lambda snapshot: snapshot.created_at)


def _tagged(api: APIClient) -> Iterator[tuple[dict[str, Any], str, dict[str, str]]]:
    """Yield each image that holds a checkpoint, with the checkpoint's id and labels."""
    for image in api.images(filters={"label": SNAPSHOT_LABEL}):
        labels = _unpacked((image.get("Labels") or {}).get(LABELS_LABEL, "{}"))
        for tag in image.get("RepoTags") or []:
            repository, _, id = tag.rpartition(":")  # noqa: A001 (the field's own word)
            if f"/{repository}".endswith(f"/{REPOSITORY}"):  # Podman puts a registry in front
                yield image, id, labels


def _describe_if_there(api: APIClient, id: str, labels: Mapping[str, str]) -> Snapshot | None:  # noqa: A002
    """Return the checkpoint, or None if its image has been removed since it was listed."""
    from docker.errors import APIError

    image = image_of(id)
    try:
        return _describe(api, image, id, labels)
    except APIError:  # while an image is being removed, the engine's errors are of several kinds
        if has_image(api, image):
            raise
        return None


def remove(api: APIClient, id: str) -> None:  # noqa: A002
    """Remove a checkpoint's image. A missing one is no error. Raises `SandboxError`.

    An image that a container runs from is renamed, and `clear` removes it once that container is gone.
    """
    from docker.errors import APIError

    image = image_of(id)
    try:
        try:
            api.remove_image(image)
        except APIError as error:
            if error.status_code != CONFLICT:
                raise
            api.tag(image, REMOVED, id)
            api.remove_image(image)
    except APIError as error:
        if not has_image(api, image):  # another process has removed it
            return
        raise SandboxError(f"The engine did not remove the checkpoint {id}: {reason(error)}.") from error


def clear(api: APIClient) -> None:
    """Remove the images of removed checkpoints that no container needs any more."""
    from docker.errors import APIError

    for image in api.images(name=REMOVED):
        for tag in image.get("RepoTags") or []:
            with contextlib.suppress(APIError):  # a container still needs it, or another process was faster
                api.remove_image(tag)


def _describe(api: APIClient, image: str, id: str, labels: Mapping[str, str]) -> Snapshot:  # noqa: A002
    """Describe a checkpoint by the layers on top of those that the chain's first sandbox began with."""
    inspected: dict[str, Any] = api.inspect_image(image)  # type: ignore[no-untyped-call]  # the stubs leave it bare
    created = datetime.fromisoformat(inspected["Created"]).timestamp()
    history: list[dict[str, Any]] = api.history(image)  # type: ignore[no-untyped-call]  # likewise
    digests = inspected["RootFS"]["Layers"]
    base = int((inspected["Config"].get("Labels") or {}).get(BASE_LABEL, len(digests) - 1))
    sizes = [entry["Size"] for entry in history[: len(digests) - base]]  # the newest first; each is a layer
    layers = dict(zip(_chain(digests)[base:], reversed(sizes), strict=True))
    return Snapshot(id, "docker", created, sum(sizes), dict(labels), layers)


def _chain(digests: Sequence[str]) -> list[str]:
    """Name each layer by all layers up to it, because the same change on another layer is stored again."""
    names: list[str] = []
    for digest in digests:
        names.append(hashlib.sha256("".join([*names[-1:], digest]).encode()).hexdigest())
    return names
