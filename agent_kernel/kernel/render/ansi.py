"""Convert a command's ANSI colours to HTML that is readable on light and dark pages, trusted or not.

The background that a program chose its colours for is unknown. So each text colour keeps its hue and gets a
brightness that contrasts with both white and black, and text on a coloured background is made readable on
it: no colour can hide text. Only inline styles that JupyterLab's sanitiser keeps are used; Markdown and
plain text have no colours.
"""

from __future__ import annotations

import html
from dataclasses import dataclass, replace
from typing import Any

from agent_kernel.kernel.render.text import COLOUR

Rgb = tuple[int, int, int]

MAX_SPANS = 2_000
"""The number of colour changes kept in one text; later text has no colour. Spans cost more than words."""

_BASE: tuple[Rgb, ...] = (
    *((0, 0, 0), (205, 49, 49), (13, 148, 80), (180, 140, 0)),
    *((36, 114, 200), (188, 63, 188), (17, 148, 175), (170, 170, 170)),
    *((118, 118, 118), (241, 76, 76), (35, 209, 139), (225, 200, 60)),
    *((59, 142, 234), (214, 112, 214), (41, 184, 219), (255, 255, 255)),
)
_LEVELS = (0, 95, 135, 175, 215, 255)  # levels of the 6 x 6 x 6 cube in the 256-colour palette
_DARKEST, _BRIGHTEST = 0.14, 0.24  # luminance: at least 3.6 : 1 against white, 3.8 : 1 against black


@dataclass(frozen=True)
class _Look:
    """The current text style; a colour of None is the page's own."""

    colour: Rgb | None = None
    ground: Rgb | None = None
    bold: bool = False
    faint: bool = False
    italic: bool = False
    underlined: bool = False
    struck: bool = False
    inverse: bool = False

    def css(self) -> str:
        """Return the inline style; empty for ordinary text."""
        colour, ground = self.colour, self.ground
        if self.inverse:
            colour, ground = ground, (110, 110, 110) if colour is None else colour
        found = []
        if ground is not None:
            found += [f"color: {_hex(_on(ground, colour))}", f"background-color: {_hex(ground)}"]
        elif colour is not None and max(colour) - min(colour) > 30:  # greys use the page's colour
            found.append(f"color: {_hex(_legible(colour))}")
        elif self.faint or colour == _BASE[8]:
            found.append("opacity: 0.7")
        if self.bold:
            found.append("font-weight: bold")
        if self.italic:
            found.append("font-style: italic")
        lines = " ".join(
            name for name, on in (("underline", self.underlined), ("line-through", self.struck)) if on
        )
        if lines:
            found.append(f"text-decoration: {lines}")
        return "; ".join(found)


class AnsiToHtml:
    """Converts text cleaned by `clean_but_colours` to HTML, piece by piece. Colours carry over."""

    def __init__(self) -> None:
        self._look = _Look()
        self._spans = 0

    def html(self, text: str) -> str:
        """Return the next piece, escaped, with all its spans closed."""
        found = []
        position = 0
        for match in COLOUR.finditer(text):
            found.append(self._span(text[position : match.start()]))
            self._look = _changed(self._look, match[0][2:-1])
            position = match.end()
        found.append(self._span(text[position:]))
        return "".join(found)

    def _span(self, text: str) -> str:
        escaped = html.escape(text, quote=True)
        css = self._look.css() if text.strip() and self._spans < MAX_SPANS else ""
        if not css:
            return escaped
        self._spans += 1
        return f'<span style="{css}">{escaped}</span>'


# --- what a sequence changes -----------------------------------------------------------------------------

_SWITCHES: dict[int, dict[str, Any]] = {
    1: {"bold": True},
    2: {"faint": True},
    3: {"italic": True},
    4: {"underlined": True},
    7: {"inverse": True},
    9: {"struck": True},
    21: {"underlined": True},
    22: {"bold": False, "faint": False},
    23: {"italic": False},
    24: {"underlined": False},
    27: {"inverse": False},
    29: {"struck": False},
}


def _changed(look: _Look, parameters: str) -> _Look:
    """Return the style after `ESC [ parameters m`. Unknown codes (blinking, concealing) change nothing."""
    codes = [code for parameter in parameters.split(";") for code in _codes(parameter.split(":"))]
    while codes:
        code = codes.pop(0)
        if code == 0:
            look = _Look()
        elif code in _SWITCHES:
            look = replace(look, **_SWITCHES[code])
        elif code in (38, 48):
            found = _extended(codes)
            look = replace(look, colour=found) if code == 38 else replace(look, ground=found)
        elif code == 58:
            _extended(codes)  # the colour of an underline
        else:
            look = _based(look, code)
    return look


def _codes(parts: list[str]) -> list[int]:
    """Return a parameter's codes as they are written with semicolons.

    In a parameter with colons (ITU-T T.416) the first part is the code, and the others are details of it: the
    kind of an underline, or a colour with or without a colour space. Details of other codes are left out.
    """
    code, *details = (int(part) if part and len(part) < 4 else 0 for part in parts)
    if code == 4 and details:
        return [4 if details[0] else 24]
    if code in (38, 48, 58) and details:
        kind, *numbers = details
        return [code, kind, *(numbers[1:4] if len(numbers) > 3 else numbers)]
    return [code]


def _based(look: _Look, code: int) -> _Look:
    """Return the style with one of the sixteen colours set, or reset to the page's colour."""
    for first, bright in ((30, 0), (90, 8)):
        if first <= code < first + 8:
            return replace(look, colour=_BASE[code - first + bright])
        if first + 10 <= code < first + 18:
            return replace(look, ground=_BASE[code - first - 10 + bright])
    if code == 39:
        return replace(look, colour=None)
    return replace(look, ground=None) if code == 49 else look


def _extended(codes: list[int]) -> Rgb | None:
    """Return a colour of the 256-colour palette, or from red, green and blue. Consumes its numbers."""
    kind = codes.pop(0) if codes else 0
    if kind == 5 and codes:
        return _of_palette(min(codes.pop(0), 255))
    if kind == 2 and len(codes) >= 3:
        red, green, blue = (min(codes.pop(0), 255) for _ in range(3))
        return (red, green, blue)
    return None


def _of_palette(number: int) -> Rgb:
    if number < 16:
        return _BASE[number]
    if number >= 232:
        grey = 8 + 10 * (number - 232)
        return (grey, grey, grey)
    red, rest = divmod(number - 16, 36)
    green, blue = divmod(rest, 6)
    return (_LEVELS[red], _LEVELS[green], _LEVELS[blue])


# --- colours that can be read ----------------------------------------------------------------------------


def _luminance(colour: Rgb) -> float:
    """Return the relative luminance (WCAG), 0 to 1."""
    red, green, blue = (
        part / 255 / 12.92 if part <= 10 else ((part / 255 + 0.055) / 1.055) ** 2.4 for part in colour
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _mixed(colour: Rgb, other: Rgb, share: float) -> Rgb:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(colour, other, strict=True))
    return (red, green, blue)


def _legible(colour: Rgb) -> Rgb:
    """Return the colour, mixed with white or black until it is readable on both."""
    for step in range(20):
        bright = _luminance(colour)
        if _DARKEST <= bright <= _BRIGHTEST:
            break
        colour = _mixed(colour, (255, 255, 255) if bright < _DARKEST else (0, 0, 0), 0.04 + 0.004 * step)
    return colour


def _on(ground: Rgb, colour: Rgb | None) -> Rgb:
    """Return a text colour for a background: `colour` if readable there, else black or white."""
    below = _luminance(ground)
    if colour is not None:
        darker, brighter = sorted((below, _luminance(colour)))
        if (brighter + 0.05) / (darker + 0.05) >= 3:
            return colour
    return (0, 0, 0) if below > 0.18 else (255, 255, 255)


def _hex(colour: Rgb) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
