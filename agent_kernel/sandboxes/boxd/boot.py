"""Starts boxd from memory: its modules arrive on the stream and are not written to the file system.

So any image works, even a read-only one, the version is always the host's, and no command can change it.
This file arrives first and loads the others. They arrive compiled too: a Python of the host's version need
not compile them again.
"""

from __future__ import annotations

import binascii
import marshal
import sys
from _frozen_importlib_external import MAGIC_NUMBER  # importing importlib.util would be slow

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import CodeType, ModuleType
    from typing import Any


class Sources:
    """Imports modules from source texts, by their full names, or from their code if that is there."""

    def __init__(self, sources: Mapping[str, str], code: Mapping[str, CodeType]) -> None:
        self._sources = sources
        self._code = code

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
        """Run a module."""
        name = module.__name__
        code = self._code.get(name)
        if code is None:
            code = compile(self._sources[name], name.replace(".", "/") + ".py", "exec", dont_inherit=True)
        exec(code, module.__dict__)  # noqa: S102 (our own)


def unpacked(code: bytes, version: bytes) -> Mapping[str, CodeType]:
    """Return the modules that a Python of `version` has compiled; none if this one cannot use them."""
    try:
        import zlib
    except ImportError:  # a Python may be built without it
        return {}
    found: Mapping[str, CodeType] = {}
    if version == MAGIC_NUMBER:
        found = marshal.loads(zlib.decompress(binascii.a2b_base64(code)))  # noqa: S302 (our own)
    return found


def begin(sources: Mapping[str, str], code: bytes, version: bytes) -> None:
    """Import boxd, from its compiled modules if this Python can use them, and run its command line."""
    sys.meta_path.insert(0, Sources(sources, unpacked(code, version)))
    from boxd.__main__ import main  # type: ignore[import-not-found, unused-ignore]  # found in the sources

    main(sys.argv[1:])
