"""`IPython.display` where IPython is missing: much code imports it to display what it made."""

from __future__ import annotations

import sys
import types
from importlib.machinery import ModuleSpec

from agent_kernel.tools.code_interpreter.inside.screen import Display, DisplayHandle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_KINDS = {
    "HTML": "text/html",
    "Markdown": "text/markdown",
    "Latex": "text/latex",
    "SVG": "image/svg+xml",
    "JSON": "application/json",
    "Pretty": "text/plain",
}
_FORMATS = {"png": "image/png", "jpeg": "image/jpeg", "jpg": "image/jpeg", "gif": "image/gif"}


class DisplayObject:
    """Content of one MIME type, given as `data` or read from the file `filename`."""

    kind = "text/plain"
    binary = False

    def __init__(self, data: Any = None, url: Any = None, filename: Any = None, metadata: Any = None) -> None:
        if url is not None:
            raise ValueError("There is no network for a display. Give data or filename.")
        if filename is not None:
            with open(filename, "rb") as file:
                data = file.read()
        if isinstance(data, bytes) and not self.binary:
            data = data.decode("utf-8", "replace")
        self.data = data
        self.metadata = metadata or {}

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        if self.data is None:
            return {}
        text = (
            self.data if self.kind == "text/plain" else f"<IPython.core.display.{type(self).__name__} object>"
        )
        return {self.kind: self.data, "text/plain": str(text)}, {
            self.kind: self.metadata
        } if self.metadata else {}


class Image(DisplayObject):
    """A picture in PNG, JPEG or GIF."""

    binary = True

    def __init__(
        self,
        data: Any = None,
        url: Any = None,
        filename: Any = None,
        format: Any = None,  # noqa: A002 (IPython's name)
        embed: Any = None,
        width: Any = None,
        height: Any = None,
        **_: Any,
    ) -> None:
        if isinstance(data, str):
            data, filename = None, data
        size = {name: value for name, value in (("width", width), ("height", height)) if value is not None}
        super().__init__(data, url, filename, size)
        start = (self.data or b"")[:4]
        found = "jpeg" if start.startswith(b"\xff\xd8\xff") else "gif" if start == b"GIF8" else "png"
        self.kind = _FORMATS.get(str(format).lower(), _FORMATS[found])


class Math(DisplayObject):
    """A formula in LaTeX, without its dollars."""

    kind = "text/latex"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        formula = "$\\displaystyle {}$".format(str(self.data).strip("$"))
        return {self.kind: formula, "text/plain": "<IPython.core.display.Math object>"}


class _Finder:
    """Finds the modules at the end of all others, so that an IPython installed later wins."""

    def __init__(self, contents: dict[str, dict[str, Any]]) -> None:
        self._contents = contents

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        found = name in self._contents
        return ModuleSpec(name, self, is_package=name == "IPython") if found else None  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> None:
        """Let Python make the module."""

    def exec_module(self, module: types.ModuleType) -> None:
        """Fill the module."""
        module.__dict__.update(self._contents[module.__name__])


def install(display: Display) -> None:
    """Make `IPython.display` importable, and `IPython.get_ipython` say that there is no IPython."""
    own = {name: type(name, (DisplayObject,), {"kind": kind}) for name, kind in _KINDS.items()}
    functions = {name: getattr(display, name) for name in ("display", "update_display", "clear_output")}
    contents = {"Image": Image, "Math": Math, "DisplayHandle": DisplayHandle, "DisplayObject": DisplayObject}
    shown = {**own, **contents, **functions, "publish_display_data": display.publish_display_data}
    top = {"get_ipython": lambda: None, "version_info": (9, 0, 0), "__version__": "9.0.0"}
    sys.meta_path.append(
        _Finder({"IPython": {**top, "display": functions["display"]}, "IPython.display": shown})
    )
