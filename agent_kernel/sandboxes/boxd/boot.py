"""boxd out of memory: its modules come down the stream into the sandbox and are written nowhere.

So any image will do, also one that cannot be written to, the version is always the host's own, and nothing
that runs inside can change it. This file is the first to come, by itself.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType
    from typing import Any


class Sources:
    """Finds and loads modules among sources, by their full names."""

    def __init__(self, sources: Mapping[str, str]) -> None:
        self._sources = sources

    def find_spec(self, name: str, path: object = None, target: object = None) -> Any:
        """What the import system asks first."""
        if name not in self._sources:
            return None
        spec_class: Any = type(sys.__spec__)  # importing it would be slow
        return spec_class(name, self, is_package="." not in name)

    def create_module(self, spec: object) -> None:
        """Any module will do."""

    def exec_module(self, module: ModuleType) -> None:
        """Run its source."""
        name = module.__name__
        code = compile(self._sources[name], name.replace(".", "/") + ".py", "exec", dont_inherit=True)
        exec(code, module.__dict__)  # noqa: S102 (our own)


def begin(sources: Mapping[str, str]) -> None:
    """Carry out the command line."""
    sys.meta_path.insert(0, Sources(sources))
    from boxd.__main__ import main  # type: ignore[import-not-found, unused-ignore]  # found in the sources

    main(sys.argv[1:])
