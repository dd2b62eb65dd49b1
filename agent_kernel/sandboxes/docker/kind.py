"""The catalogue's row for Docker, with the choice between the ways to build an image."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import replace

from agent_kernel.errors import InvalidRequest, PreparationFailed, SandboxStartFailed
from agent_kernel.sandboxes.base import Backend, SandboxSpec
from agent_kernel.sandboxes.catalogue import BackendKind, BackendOptions, Progress, Wanted
from agent_kernel.sandboxes.docker.backend import DockerBackend
from agent_kernel.sandboxes.docker.image import (
    DEFAULT_IMAGE,
    DESKTOP_IMAGE,
    build_from_debian,
    build_from_dockerfile,
    desktop_packages,
    is_current,
)
from agent_kernel.sandboxes.docker.own_image import built, name_image


def make(options: BackendOptions) -> DockerBackend:
    """Return the backend on the engine that docker-py finds."""
    return DockerBackend(options.image or DEFAULT_IMAGE, options.runtime or None)


async def answers(backend: Backend) -> bool:
    """Return true if an engine answers. Raises `EngineUnavailable`."""
    await backend.list()
    return True


def prepare(options: BackendOptions, wanted: Wanted, progress: Progress) -> str:
    """Build the image. Raises `EngineUnavailable`, `PreparationFailed`, `InvalidRequest`."""
    image = options.image or DEFAULT_IMAGE
    packages = list(wanted.packages)
    if wanted.desktop:
        if wanted.base is not None or wanted.dockerfile:
            raise InvalidRequest(
                "A desktop is built from Debian's packages only.",
                hint="Leave out --from and --dockerfile, or install images/desktop/packages.txt there.",
            )
        image = image if wanted.named else DESKTOP_IMAGE
        packages += desktop_packages()
    if wanted.base is not None:
        _build_own(options, wanted, progress)
    elif wanted.if_missing and _is_there(replace(options, image=image), image):
        return f"{image} is there."
    elif wanted.dockerfile:
        build_from_dockerfile(image, progress)
    else:
        build_from_debian(image, progress, packages)
    ready = f"{image} is ready."
    return ready if image == DEFAULT_IMAGE else f"{ready}\nUse it: AGENT_KERNEL_IMAGE={image}"


def _is_there(options: BackendOptions, image: str) -> bool:
    async def probed() -> bool:
        backend = make(options)
        try:
            return (await backend.probe()).ok
        finally:
            await backend.aclose()

    return asyncio.run(probed()) and (image != DEFAULT_IMAGE or is_current(image))


def _build_own(options: BackendOptions, wanted: Wanted, progress: Progress) -> None:
    """Build the user's Dockerfile, and test a sandbox of it before the image gets its name."""
    assert wanted.base is not None  # noqa: S101 (for the type checker: the caller has looked)
    if not options.image or options.image == DEFAULT_IMAGE:
        raise InvalidRequest("A custom image needs a name.", hint="Give one: --name mine:1")
    with built(wanted.base, progress, toolbox=wanted.toolbox) as name:
        progress("Testing a sandbox of the image")
        asyncio.run(_try(name, options.runtime or None))
        name_image(name, options.image)


async def _try(image: str, runtime: str | None) -> None:
    backend = DockerBackend(image, runtime)
    try:
        await backend.delete(await backend.create(SandboxSpec(f"try-{secrets.token_hex(6)}")))
    except SandboxStartFailed as error:
        words = error.message.replace(image, "that was built")
        raise PreparationFailed(words, hint=error.hint) from error
    finally:
        await backend.aclose()


KIND = BackendKind(make, answers, prepare, runtimes=True)
