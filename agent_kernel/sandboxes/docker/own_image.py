"""Custom images: the user's Dockerfile, with the toolbox on top.

The engine builds both steps and does their downloads. An image gets its name only when it is complete. The
functions block and report their progress line by line.
"""

from __future__ import annotations

import io
import secrets
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent_kernel.errors import PreparationFailed
from agent_kernel.sandboxes.docker.engine import connect
from agent_kernel.sandboxes.docker.image import Progress, context_directory

if TYPE_CHECKING:
    import docker

_BUILD_SECONDS = 3600

_TOOLBOX = """
FROM {base}
USER root
COPY add.sh finish.sh packages.txt /tmp/build/
RUN sh /tmp/build/add.sh && rm -rf /tmp/build
ENV LANG=C.UTF-8 MPLBACKEND=Agg
WORKDIR /mnt/data
"""


@contextmanager
def built(dockerfile: Path, progress: Progress, *, toolbox: bool = True) -> Iterator[str]:
    """Build a Dockerfile (its folder is the context), then the toolbox on top. Yield a temporary name.

    The image loses that name at the end. To keep the image, give it another with `name_image`. Raises
    `EngineUnavailable`, `PreparationFailed`; then, too, no name is left behind.
    """
    if not dockerfile.is_file():
        raise PreparationFailed(f"There is no Dockerfile {dockerfile}.", hint="Give the path of a file.")
    attempt = secrets.token_hex(6)
    names = [f"agent-kernel/build:{attempt}-{step}" for step in ("base", "toolbox")]
    client = connect(_BUILD_SECONDS)
    try:
        where = {"path": str(dockerfile.absolute().parent), "dockerfile": dockerfile.name}
        _build(client, names[0], progress, **where)
        if toolbox:
            _build(client, names[1], progress, fileobj=_toolbox_context(names[0]), custom_context=True)
        yield names[1] if toolbox else names[0]
    finally:
        for name in reversed(names):
            _remove_name(client, name)
        client.close()


def name_image(built_name: str, image: str) -> None:
    """Give an image another name, taking it from any image that had it.

    Raises `EngineUnavailable`, `PreparationFailed`.
    """
    from docker.errors import DockerException
    from docker.utils import parse_repository_tag

    repository, tag = parse_repository_tag(image)
    client = connect(_BUILD_SECONDS)
    try:
        client.images.get(built_name).tag(repository, tag or "latest")
    except DockerException as error:
        raise PreparationFailed(f"The engine did not name the image {image}: {error}.") from error
    finally:
        client.close()


def _build(client: docker.DockerClient, name: str, progress: Progress, **what: Any) -> None:
    from docker.errors import DockerException

    said = ""
    try:
        for step in client.api.build(tag=name, rm=True, forcerm=True, decode=True, **what):
            for line in step.get("stream", step.get("status", "")).splitlines():
                said = line.strip() or said
                progress(line)
            if "error" in step:
                raise PreparationFailed(
                    f"The engine could not build the image: {step['error'].strip().rstrip('.')} ({said}).",
                    hint="The image it begins with must be in the engine, or a registry within reach; to "
                    "leave the toolbox out: --no-toolbox",
                )
    except (DockerException, OSError) as error:
        raise PreparationFailed(f"The engine could not build the image: {error}.") from error


def _toolbox_context(base: str) -> io.BytesIO:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        files = {
            name: (context_directory() / name).read_bytes()
            for name in ("add.sh", "finish.sh", "packages.txt")
        }
        files["Dockerfile"] = _TOOLBOX.format(base=base).encode()
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o644
            tar.addfile(member, io.BytesIO(content))
    buffer.seek(0)
    return buffer


def _remove_name(client: docker.DockerClient, name: str) -> None:
    from docker.errors import ImageNotFound

    try:
        client.api.remove_image(name, noprune=False)
    except ImageNotFound:
        return
