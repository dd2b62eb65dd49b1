"""`agent-kernel image build`: build the Docker image, or prepare the toolbox of the embedded sandbox."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from agent_kernel.cli import flags
from agent_kernel.config import Settings
from agent_kernel.errors import InvalidRequest

if TYPE_CHECKING:
    from agent_kernel.sandboxes.catalogue import Wanted


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the action, the sources to build from, and the sandbox settings."""
    parser.add_argument("action", choices=["build"], help="build it, even if it exists already")
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--from", dest="base", type=Path, metavar="DOCKERFILE",
        help="build this Dockerfile, with its folder as context, and put the toolbox on top",
    )  # fmt: skip
    source.add_argument(
        "--packages", type=str.split, default=[], metavar="'NAME ...'",
        help="Debian packages to add to those of the toolbox",
    )  # fmt: skip
    source.add_argument(
        "--dockerfile",
        action="store_true",
        help="build from images/toolbox/Dockerfile, which needs a registry, instead of Debian packages",
    )
    parser.add_argument("--no-toolbox", action="store_true", help="with --from: build the Dockerfile alone")
    parser.add_argument(
        "--desktop", action="store_true",
        help="add a desktop for the tool computer (default name: agent-kernel/desktop:1)",
    )  # fmt: skip
    parser.add_argument("--name", help="name of the image (default: the configured image)")
    parser.add_argument("--if-missing", action="store_true", help="do nothing if it exists already")
    flags.add_settings(parser, ("sandbox", "image", "docker_runtime", "data_dir"))


def run(arguments: argparse.Namespace) -> int:
    """Prepare the configured backend; `auto` means Docker."""
    settings = flags.load(arguments)
    if arguments.name:
        settings.sandbox.image = arguments.name
    if arguments.no_toolbox and not arguments.base:
        raise InvalidRequest("--no-toolbox needs a Dockerfile.", hint="Give one: --from DOCKERFILE")
    from agent_kernel.sandboxes.catalogue import AUTO, Wanted

    chosen = settings.sandbox.sandbox
    wanted = Wanted(
        if_missing=arguments.if_missing,
        base=arguments.base,
        toolbox=not arguments.no_toolbox,
        packages=arguments.packages,
        dockerfile=arguments.dockerfile,
        desktop=arguments.desktop,
        named=bool(arguments.name),
    )
    prepare(settings, "docker" if chosen == AUTO else chosen, wanted)
    return 0


def prepare(settings: Settings, name: str, wanted: Wanted) -> None:
    """Prepare the image or toolbox of one backend, and print the result.

    Raises `ConfigurationError`, `EngineUnavailable`, `PreparationFailed`, `InvalidRequest`.
    """
    from agent_kernel.cli.compose import backend_options
    from agent_kernel.sandboxes import catalogue

    row = catalogue.kind(name)
    if row.prepare is None:
        print(f"{name} sandboxes need no preparation.")
        return
    with OneLine() as progress:
        said = row.prepare(backend_options(settings), wanted, progress)
    print(said)


def prepare_embedded(settings: Settings) -> None:
    """Prepare the embedded backends, which need no engine and no root. Skips those that are ready."""
    from agent_kernel.sandboxes import catalogue

    for name in catalogue.BUILT_IN:
        if catalogue.kind(name).embedded:
            prepare(settings, name, catalogue.Wanted(if_missing=True))


class OneLine:
    """Progress output: one overwritten line on a terminal, otherwise a line for each step."""

    def __enter__(self) -> Callable[[str], None]:
        """Return the function that shows a line."""
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
