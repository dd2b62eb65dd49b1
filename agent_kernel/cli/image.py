"""`agent-kernel image build`: what sandboxes are made from, for Docker and for bubblewrap."""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from agent_kernel.cli import flags
from agent_kernel.config import Settings
from agent_kernel.errors import InvalidRequest, PreparationFailed, SandboxStartFailed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One action so far; which sandbox; from what."""
    parser.add_argument("action", choices=["build"], help="make it (anew)")
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--from", dest="base", type=Path, metavar="DOCKERFILE",
        help="build this Dockerfile, with its folder as context, and put the toolbox on top",
    )  # fmt: skip
    source.add_argument(
        "--packages", type=str.split, default=[], metavar="'NAME ...'",
        help="further Debian packages, beside those of the toolbox",
    )  # fmt: skip
    source.add_argument(
        "--dockerfile",
        action="store_true",
        help="build from images/toolbox/Dockerfile, which needs a registry, not from Debian's packages",
    )
    parser.add_argument("--no-toolbox", action="store_true", help="with --from: the Dockerfile alone")
    parser.add_argument("--name", help="name of the image; default: the one that the settings ask for")
    parser.add_argument("--if-missing", action="store_true", help="do nothing where it is there already")
    flags.add_settings(parser, ("sandbox", "image", "docker_runtime", "data_dir"))


def run(arguments: argparse.Namespace) -> int:
    """Build for Docker unless `--sandbox bubblewrap` says otherwise."""
    settings = flags.load(arguments)
    if arguments.name:
        settings.sandbox.image = arguments.name
    if arguments.no_toolbox and not arguments.base:
        raise InvalidRequest("--no-toolbox needs a Dockerfile.", hint="Give one: --from DOCKERFILE")
    if settings.sandbox.sandbox == "bubblewrap":
        if arguments.base or arguments.packages or arguments.name:
            raise InvalidRequest(
                "bubblewrap sandboxes have the programs of this machine and no image.",
                hint="Build for Docker: --sandbox docker",
            )
        prepare_toolbox(settings, anew=not arguments.if_missing)
    elif arguments.base:
        build_own_image(settings, arguments.base, toolbox=not arguments.no_toolbox)
    else:
        build_image(
            settings,
            dockerfile=arguments.dockerfile,
            packages=arguments.packages,
            if_missing=arguments.if_missing,
        )
    return 0


def build_image(
    settings: Settings, *, dockerfile: bool, if_missing: bool, packages: Sequence[str] = ()
) -> None:
    """Build the Docker image. Raises `EngineUnavailable`, `PreparationFailed`."""
    from agent_kernel.cli.compose import docker
    from agent_kernel.sandboxes.docker.image import (
        DEFAULT_IMAGE,
        build_from_debian,
        build_from_dockerfile,
        is_current,
    )

    image = settings.sandbox.image or DEFAULT_IMAGE
    there = if_missing and asyncio.run(docker(settings).probe()).ok
    if there and (image != DEFAULT_IMAGE or is_current(image)):
        print(f"{image} is there.")
        return
    with OneLine() as progress:
        if dockerfile:
            build_from_dockerfile(image, progress)
        else:
            build_from_debian(image, progress, packages)
    _tell(image)


def build_own_image(settings: Settings, dockerfile: Path, *, toolbox: bool) -> None:
    """Build a person's Dockerfile, and try a sandbox of it before it gets its name.

    Raises `EngineUnavailable`, `PreparationFailed`, the latter also if it cannot be a sandbox.
    """
    from agent_kernel.sandboxes.docker.image import DEFAULT_IMAGE
    from agent_kernel.sandboxes.docker.own_image import built, name_image

    image = settings.sandbox.image
    if not image or image == DEFAULT_IMAGE:
        raise InvalidRequest("An image of your own needs a name.", hint="Give one: --name mine:1")
    with OneLine() as progress, built(dockerfile, progress, toolbox=toolbox) as name:
        progress("Trying a sandbox of it")
        asyncio.run(_tried(settings, name))
        name_image(name, image)
    _tell(image)


async def _tried(settings: Settings, image: str) -> None:
    from agent_kernel.sandboxes.base import SandboxSpec
    from agent_kernel.sandboxes.docker.backend import DockerBackend

    backend = DockerBackend(image, settings.sandbox.docker_runtime or None)
    try:
        await backend.delete(await backend.create(SandboxSpec(f"try-{secrets.token_hex(6)}")))
    except SandboxStartFailed as error:
        words = error.message.replace(image, "that was built")
        raise PreparationFailed(words, hint=error.hint) from error
    finally:
        await backend.aclose()


def _tell(image: str) -> None:
    from agent_kernel.sandboxes.docker.image import DEFAULT_IMAGE

    print(f"{image} is ready.")
    if image != DEFAULT_IMAGE:
        print(f"Use it: AGENT_KERNEL_IMAGE={image}")


def prepare_toolbox(settings: Settings, *, anew: bool = False) -> None:
    """Make the embedded sandbox's toolbox where it is not there yet. Raises `PreparationFailed`."""
    from agent_kernel.cli.compose import toolbox

    box = toolbox(settings)
    if box.ready() and not anew:
        return
    print(
        "Preparing the embedded sandbox's toolbox (Python with pandas, numpy, matplotlib); this is done once."
    )
    with OneLine() as progress:
        box.prepare(progress)
    print("The toolbox is ready.")


class OneLine:
    """Progress: on a terminal one line that is written over, elsewhere a line for each step."""

    def __enter__(self) -> Callable[[str], None]:
        """The function that takes each line."""
        return self._show if sys.stderr.isatty() else self._print

    def __exit__(self, *_: object) -> None:
        if sys.stderr.isatty():
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def _show(self, line: str) -> None:
        print(f"\r\x1b[K  {_printable(line)[:100]}", end="", file=sys.stderr, flush=True)

    def _print(self, line: str) -> None:
        print(f"  {_printable(line)}", file=sys.stderr, flush=True)


def _printable(line: str) -> str:
    return "".join(character for character in line if character.isprintable())
