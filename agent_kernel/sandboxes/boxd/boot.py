"""Starts boxd from memory: its modules arrive on the stream and are not written to the file system.

So any image works, even a read-only one, the version is always the host's, and no command can change it.
This file arrives first and loads the others. They arrive compiled too: a Python of the host's version need
not compile them again. What is not needed any more is let go, as boxd stays as long as the sandbox.
"""

from __future__ import annotations

import marshal
import sys
from _frozen_importlib_external import MAGIC_NUMBER  # importing importlib.util would be slow

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import CodeType, ModuleType
    from typing import Any


class Modules:
    """Imports modules by their full names, each once, from their source texts or from their code."""

    def __init__(self, found: Mapping[str, str | CodeType]) -> None:
        self._names = tuple(found)
        self._left = dict(found)

    def find_spec(self, name: str, path: object = None, target: object = None) -> Any:
        """Find a module, for the import system."""
        if name not in self._left:
            return None
        spec_class: Any = type(sys.__spec__)  # importing the class would be slow
        is_package = any(other.startswith(name + ".") for other in self._names)
        return spec_class(name, self, is_package=is_package)

    def create_module(self, spec: object) -> None:
        """Leave the new module to the import system."""

    def exec_module(self, module: ModuleType) -> None:
        """Run a module."""
        name = module.__name__
        code = self._left.pop(name)
        if isinstance(code, str):
            code = compile(code, name.replace(".", "/") + ".py", "exec", dont_inherit=True)
        exec(code, module.__dict__)  # noqa: S102 (our own)


def unpacked(sources: bytes, code: bytes, version: bytes) -> Mapping[str, str | CodeType]:
    """Return the modules, compiled if a Python of `version`, as this one is, has compiled them."""
    try:
        import zlib
    except ImportError:  # a Python may be built without it
        version = b""
    same = version == MAGIC_NUMBER
    found: Mapping[str, str | CodeType] = marshal.loads(zlib.decompress(code) if same else sources)  # noqa: S302
    return found


def begin(told: dict[str, Any], ends: tuple[int, int], version: bytes) -> None:
    """Import boxd and run its command line.

    `told["program"]` has this file, the sources and the compiled modules. It is taken from there; `ends` says
    where the first two end.
    """
    program = told.pop("program")
    modules = Modules(unpacked(program[ends[0] : ends[1]], program[ends[1] :], version))
    del program
    sys.meta_path.insert(0, modules)
    from boxd.__main__ import main  # type: ignore[import-not-found, unused-ignore]  # found in the modules

    main(sys.argv[1:])
