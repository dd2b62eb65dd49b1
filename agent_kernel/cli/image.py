"""`agent-kernel image build`: what sandboxes are made from, for Docker and for bubblewrap."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from agent_kernel.cli import flags
from agent_kernel.config import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One action so far; which sandbox; from what."""
    parser.add_argument("action", choices=["build"], help="make it (anew)")
    parser.add_argument(
        "--dockerfile",
        action="store_true",
        help="build from images/toolbox/Dockerfile, which needs a registry, not from Debian's packages",
    )
    parser.add_argument("--if-missing", action="store_true", help="do nothing where it is there already")
    flags.add_settings(parser, ("sandbox", "image", "data_dir"))


def run(arguments: argparse.Namespace) -> int:
    """Build for Docker unless `--sandbox bubblewrap` says otherwise."""
    settings = flags.load(arguments)
    if settings.sandbox.sandbox == "bubblewrap":
        prepare_toolbox(settings, anew=not arguments.if_missing)
    else:
        build_image(settings, dockerfile=arguments.dockerfile, if_missing=arguments.if_missing)
    return 0


def build_image(settings: Settings, *, dockerfile: bool, if_missing: bool) -> None:
    """Build the Docker image. Raises `EngineUnavailable`, `PreparationFailed`."""
    import asyncio

    from agent_kernel.cli.compose import docker
    from agent_kernel.sandboxes.image import DEFAULT_IMAGE, build_from_debian, build_from_dockerfile

    image = settings.sandbox.image or DEFAULT_IMAGE
    if if_missing and asyncio.run(docker(settings).probe()).ok:
        print(f"{image} is there.")
        return
    build = build_from_dockerfile if dockerfile else build_from_debian
    with OneLine() as progress:
        build(image, progress)
    print(f"{image} is ready.")


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
