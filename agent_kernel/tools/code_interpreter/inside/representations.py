"""The representations of a value by MIME type, as IPython finds them, and pictures of charts."""

from __future__ import annotations

import base64
import json
import sys
import warnings
from importlib import import_module, util

from agent_kernel.tools.code_interpreter.inside.figures import PLAIN, PNG, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

HTML = "text/html"
PICTURES = (PNG, "image/jpeg")
_METHODS = {
    HTML: "_repr_html_",
    "text/markdown": "_repr_markdown_",
    "text/latex": "_repr_latex_",
    "image/svg+xml": "_repr_svg_",
    PNG: "_repr_png_",
    "image/jpeg": "_repr_jpeg_",
    "application/json": "_repr_json_",
}
VEGA = "install vl-convert-python for a picture of it"
PLOTLY = "install kaleido for a picture of it"

warnings.filterwarnings("ignore", message=".*non-interactive, and thus cannot be shown.*")


def representations(value: Any, say: Callable[[str], None]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the representations of a value, and their metadata; see `checked`. `say` gets what failed.

    Raises what `repr` raises. Charts have `chart_of`.
    """
    data: dict[str, Any] = {PLAIN: ""}
    metadata: dict[str, Any] = {}
    for kind, method in ((None, "_repr_mimebundle_"), *_METHODS.items()):
        found, about = _called(value, method, say)
        if found is not None:
            data.update(found if kind is None else {kind: found})
            metadata.update(about if kind is None else {kind: about} if about else {})
    data[PLAIN] = data[PLAIN] or repr(value)
    return data, metadata


def _called(value: Any, method: str, say: Callable[[str], None]) -> tuple[Any, dict[str, Any]]:
    """Return what a method of the value's class gives, and its metadata."""
    draw = getattr(type(value), method, None)
    if isinstance(value, type) or not callable(draw):
        return None, {}
    try:
        found = draw(value, include=None, exclude=None) if method == "_repr_mimebundle_" else draw(value)
    except NotImplementedError:
        return None, {}
    except Exception as error:  # noqa: BLE001 (a representation less)
        say(f"{type(value).__name__}.{method} failed: {type(error).__name__}: {error}\n")
        return None, {}
    about: Any = {}
    if isinstance(found, tuple) and len(found) == 2:
        found, about = found
    if method == "_repr_mimebundle_" and not isinstance(found, dict):
        return None, {}
    return found, about if isinstance(about, dict) else {}


def checked(data: dict[Any, Any]) -> dict[str, str]:
    """Return representations as strings: text, pictures as base64, JSON as its text. Drop all others."""
    found = {}
    for kind, value in data.items():
        if not isinstance(kind, str) or len(kind) > 100:
            continue
        if isinstance(value, bytes):
            value = base64.b64encode(value).decode("ascii")
        elif kind in PICTURES and isinstance(value, str):
            value = "".join(value.split())
        elif kind.endswith("json"):
            value = json_text(value)
        if isinstance(value, str):
            found[kind] = value
    return found


def json_text(value: Any) -> str | None:
    """Return a value as JSON; None if it has no such form."""
    try:
        return json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        return None


def plain_json(value: Any) -> Any:
    """Return a copy of a value that has only types of JSON, None if it has others."""
    text = json_text(value)
    return None if text is None or len(text) > 10_000 else json.loads(text)


# --- charts ----------------------------------------------------------------------------------------------


def chart_of(value: Any, say: Callable[[str], None]) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Return the picture of a chart of Matplotlib, Altair or Plotly, with its JSON, and their metadata.

    None for other values.
    """
    if isinstance(value, _class("matplotlib.figure", "Figure")):
        found = shown(value)
        if (plots := sys.modules.get("matplotlib.pyplot")) is not None:
            plots.close(value)
        return found
    for maker, module, name in (
        (_altair, "altair.vegalite", "TopLevelMixin"),
        (_altair, "altair", "TopLevelMixin"),
        (_plotly, "plotly.basedatatypes", "BaseFigure"),
    ):
        if isinstance(value, _class(module, name)):
            try:
                return maker(value), {}
            except Exception as error:  # noqa: BLE001 (an invalid chart, or a converter that fails)
                say(f"The chart cannot be shown: {type(error).__name__}: {error}\n")
                return {PLAIN: f"[{type(value).__name__}]"}, {}
    return None


def _class(module: str, name: str) -> Any:
    """Return a class of a module that is loaded; else a tuple, of which nothing is an instance."""
    found = getattr(sys.modules.get(module), name, None)
    return found if isinstance(found, type) else ()


def _altair(chart: Any) -> dict[str, Any]:
    spec = chart.to_dict()
    version = str(spec.get("$schema", "")).rpartition("/v")[2].partition(".")[0]
    data = {f"application/vnd.vegalite.v{version or 5}+json": spec}
    if _has("vl_convert"):
        convert: Any = import_module("vl_convert")
        return {**data, PNG: convert.vegalite_to_png(spec, scale=2), PLAIN: "[Vega-Lite chart]"}
    return {**data, PLAIN: f"[Vega-Lite chart; {VEGA}]"}


def _plotly(figure: Any) -> dict[str, Any]:
    data = {"application/vnd.plotly.v1+json": json.loads(figure.to_json())}
    if _has("kaleido"):
        return {**data, PNG: figure.to_image("png", scale=2), PLAIN: "[Plotly chart]"}
    return {**data, PLAIN: f"[Plotly chart; {PLOTLY}]"}


def _has(package: str) -> bool:
    try:
        return util.find_spec(package) is not None
    except (ImportError, ValueError):
        return False
