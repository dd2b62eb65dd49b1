"""The stores that a setting can name.

The setting's scheme (the part before `:`) names a factory. Other packages add stores by an entry point in the
group `agent_kernel.stores`: its name is the scheme, its value a `Factory`.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from pkgutil import resolve_name
from typing import cast

from agent_kernel.errors import ConfigurationError
from agent_kernel.store.base import Store

Factory = Callable[[str, Path], Store]
"""Makes a store of a URL and the data folder of this machine. Nothing is opened before its first use.

It raises `ConfigurationError` for a URL that it cannot use. A URL may contain a password: no message shows
it.
"""

GROUP = "agent_kernel.stores"

BUILT_IN = {
    "sqlite": "agent_kernel.store.sqlite.store:open_sqlite",
    "postgresql": "agent_kernel.store.postgres.store:open_postgres",
}
"""Scheme to factory, imported when a setting names it."""


def open_store(url: str, folder: Path) -> Store:
    """Return the store that a URL names, such as `sqlite` or `postgresql://user@host/name`.

    Raises `ConfigurationError` if no installed package knows its scheme, or the URL cannot be used.
    """
    return _factory(url.partition(":")[0])(url, folder)


def _factory(scheme: str) -> Factory:
    if scheme in BUILT_IN:
        return cast(Factory, resolve_name(BUILT_IN[scheme]))
    found = {each.name: each for each in entry_points(group=GROUP)}
    if scheme not in found:
        known = ", ".join(sorted({*BUILT_IN, *found}))
        raise ConfigurationError(
            f"AGENT_KERNEL_STORE names no known kind of store. Known kinds: {known}.",
            hint="Correct it, or install the package that provides the store.",
        )
    return cast(Factory, found[scheme].load())
