"""The table of sandbox backends: how each is made, found by `auto`, and prepared.

Settings, `doctor`, `image`, `containers` and the runtime read this table; no other module names a backend's
class. Another package adds a backend by an entry point in the group `agent_kernel.backends`: its name is the
word for `AGENT_KERNEL_SANDBOX`, its value a `BackendKind`. It is loaded when a setting names it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from pkgutil import resolve_name
from typing import cast

from agent_kernel.errors import ConfigurationError
from agent_kernel.sandboxes.base import Backend

GROUP = "agent_kernel.backends"

AUTO = "auto"
"""The word for the first built-in backend that answers."""

BUILT_IN = {
    "docker": "agent_kernel.sandboxes.docker.kind:KIND",
    "bubblewrap": "agent_kernel.sandboxes.bubblewrap.kind:KIND",
    "kubernetes": "agent_kernel.sandboxes.kubernetes.kind:KIND",
}
"""Name to `BackendKind`, in the order in which `auto` asks them. Imported on first use."""

Progress = Callable[[str], None]


@dataclass(frozen=True)
class BackendOptions:
    """The settings for every backend."""

    data_dir: Path
    """The data folder. It may not exist yet. A backend keeps its files in a sub-folder."""
    image: str = ""
    """The image of new sandboxes; empty: the backend's own choice."""
    runtime: str = ""
    """The isolation runtime; empty: the backend's own choice."""
    settings: Path | None = None
    """A file with more settings, for backends that have some."""


@dataclass(frozen=True)
class Wanted:
    """The options of `agent-kernel image build`. A kind raises `InvalidRequest` for unsupported ones."""

    if_missing: bool = False
    """Do nothing if it is prepared already."""
    base: Path | None = None
    """A Dockerfile to start from."""
    toolbox: bool = True
    """Add the toolbox to `base`."""
    packages: Sequence[str] = ()
    """More Debian packages."""
    dockerfile: bool = False
    """Build from the packaged Dockerfile instead of Debian's packages."""
    desktop: bool = False
    """Add the programs of a desktop, for the tool `computer`."""
    named: bool = False
    """Whether the image was named on the command line."""


@dataclass(frozen=True)
class BackendKind:
    """One row of the table."""

    make: Callable[[BackendOptions], Backend]
    """Return the backend; nothing is asked of an engine yet.

    Raises `ConfigurationError` for options that it cannot honour.
    """
    answers: Callable[[Backend], Awaitable[bool]] | None = None
    """Return whether `auto` may choose it on this machine; None: `auto` never does.

    May raise `EngineUnavailable` with the reason, which counts as no.
    """
    prepare: Callable[[BackendOptions, Wanted, Progress], str] | None = None
    """Prepare what sandboxes are made from and return a sentence about the result.

    Blocks, for minutes. None: there is nothing to prepare. Raises `EngineUnavailable`, `PreparationFailed`,
    `InvalidRequest`.
    """
    runtimes: bool = False
    """Whether it has OCI runtimes to choose from. A kind without them is refused when one is asked for."""
    embedded: bool = False
    """Whether `install` prepares this kind, because it needs no engine and no root."""


def names() -> list[str]:
    """Return the names of all backends, the built-in ones first. Nothing is imported."""
    added = {each.name for each in entry_points(group=GROUP)}
    return [*BUILT_IN, *sorted(added - {*BUILT_IN, AUTO})]


def kind(name: str) -> BackendKind:
    """Return the row of this name.

    Raises `ConfigurationError` for an unknown name, for a name that two packages claim, and for a package
    that cannot be loaded; the message names the package.
    """
    if name in BUILT_IN:
        return cast(BackendKind, resolve_name(BUILT_IN[name]))
    found = [each for each in entry_points(group=GROUP) if each.name == name]
    if not found:
        raise ConfigurationError(
            f"There is no sandbox backend {name!r}. Known backends: {', '.join(names())}.",
            hint="Correct AGENT_KERNEL_SANDBOX, or install the package that provides the backend.",
        )
    if len(found) > 1:
        packages = " and ".join(sorted(map(_package, found)))
        raise ConfigurationError(
            f"The sandbox backend {name!r} is provided twice, by {packages}.", hint="Uninstall one of them."
        )
    return _loaded(found[0])


def make(name: str, options: BackendOptions) -> Backend:
    """Return a new backend of this name.

    Raises `ConfigurationError`, also for an OCI runtime that the backend would not use.
    """
    row = kind(name)
    if options.runtime and not row.runtimes:
        raise ConfigurationError(
            f"{name} has no OCI runtimes, but {options.runtime!r} was requested.",
            hint="Unset AGENT_KERNEL_DOCKER_RUNTIME, or set AGENT_KERNEL_SANDBOX=docker.",
        )
    backend = row.make(options)
    if backend.name != name:  # containers are recorded under this name and found again by it
        raise ConfigurationError(
            f"The sandbox backend {name!r} has the name {backend.name!r}.", hint="Both names must be equal."
        )
    return backend


def _loaded(entry: EntryPoint) -> BackendKind:
    try:
        row = entry.load()
    except Exception as error:  # code of another package: anything can be wrong with it
        raise ConfigurationError(
            f"The sandbox backend {entry.name!r} from the package {_package(entry)} cannot be loaded: "
            f"{type(error).__name__}: {error}.",
            hint="Repair or uninstall that package, or choose another AGENT_KERNEL_SANDBOX.",
        ) from error
    if not isinstance(row, BackendKind):
        raise ConfigurationError(
            f"The sandbox backend {entry.name!r} from the package {_package(entry)} is no BackendKind.",
            hint="Repair or uninstall that package, or choose another AGENT_KERNEL_SANDBOX.",
        )
    return row


def _package(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist is not None else entry.value
