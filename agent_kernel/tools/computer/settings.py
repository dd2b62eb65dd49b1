"""The settings of a desktop: the size, scale and locale of its screen."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agent_kernel.errors import InvalidRequest
from agent_kernel.protocol.validation import shortened

Json = Mapping[str, Any]

WIDTHS, HEIGHTS, SCALES = (320, 3840), (200, 2160), (0.5, 4.0)
_LOCALE = re.compile(r"[A-Za-z]{1,8}(_[A-Za-z0-9]{2,8})?(\.[A-Za-z0-9-]{1,12})?")


@dataclass(frozen=True)
class DesktopSettings:
    """A screen: `width`, `height` in pixels, `scale` of what is drawn, `locale` such as `de_DE.UTF-8`."""

    width: int = 1280
    height: int = 800
    scale: float = 1.0
    locale: str = "C.UTF-8"


def read_display(given: object, where: str) -> DesktopSettings:
    """Read the settings in a request; None is the default. Raises `InvalidRequest` below `where`."""
    if given is None:
        return DesktopSettings()
    if not isinstance(given, Mapping):
        raise InvalidRequest(f"{where} must be an object, not {shortened(given)}.", param=where)
    known = {"width": WIDTHS, "height": HEIGHTS, "scale": SCALES, "locale": None}
    if unknown := sorted(map(str, set(given) - set(known))):
        raise InvalidRequest(
            f"{where} cannot have {shortened(unknown[0])}.", hint=f"It has {', '.join(known)}.", param=where
        )
    default = DesktopSettings()
    width = _number(given.get("width", default.width), *WIDTHS, f"{where}.width", whole=True)
    height = _number(given.get("height", default.height), *HEIGHTS, f"{where}.height", whole=True)
    scale = _number(given.get("scale", default.scale), *SCALES, f"{where}.scale", whole=False)
    locale = given.get("locale", default.locale)
    if not isinstance(locale, str) or not _LOCALE.fullmatch(locale):
        raise InvalidRequest(
            f"{where}.locale must be a locale such as de_DE.UTF-8, not {shortened(locale)}.",
            param=f"{where}.locale",
        )
    return DesktopSettings(int(width), int(height), float(scale), locale)


def _number(value: object, least: float, most: float, where: str, *, whole: bool) -> float:
    kinds = (int,) if whole else (int, float)
    if type(value) not in kinds or not math.isfinite(value) or not least <= value <= most:  # type: ignore[arg-type, operator]
        kind = "a whole number" if whole else "a number"
        raise InvalidRequest(
            f"{where} must be {kind} from {least:g} to {most:g}, not {shortened(value)}.", param=where
        )
    return value  # type: ignore[return-value]
