"""Starts boxd from memory: its modules arrive on the stream and are not written to the file system.

So any image works, even a read-only one, the version is always the host's, and no command can change it.
This file arrives first and loads the others.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType
    from typing import Any


class Sources:
    """Imports modules from source texts, by their full names."""

    def __init__(self, sources: Mapping[str, str]) -> None:
        self._sources = sources

    def find_spec(self, name: str, path: object = None, target: object = None) -> Any:
        """Find a module, for the import system."""
        if name not in self._sources:
            return None
        spec_class: Any = type(sys.__spec__)  # importing the class would be slow
        is_package = any(other.startswith(name + ".") for other in self._sources)
        return spec_class(name, self, is_package=is_package)

    def create_module(self, spec: object) -> None:
        """Leave the new module to the import system."""

    def exec_module(self, module: ModuleType) -> None:
        """Run a module's source."""
        name = module.__name__
        code = compile(self._sources[name], name.replace(".", "/") + ".py", "exec", dont_inherit=True)
        exec(code, module.__dict__)  # noqa: S102 (our own)


def begin(sources: Mapping[str, str]) -> None:
    """Import boxd from `sources` and run its command line."""
    sys.meta_path.insert(0, Sources(sources))
    from boxd.__main__ import main  # type: ignore[import-not-found, unused-ignore]  # found in the sources

    main(sys.argv[1:])
