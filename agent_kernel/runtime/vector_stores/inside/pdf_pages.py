"""The text of PDF pages that a reader sees. Text drawn so that nobody sees it is left out and counted.

Left out is text that is not painted, transparent, below a point in size, off the page, of the colour of what
lies beneath it, or below what is painted over it. Text that is not painted over or under a picture is how a
scan keeps what was recognised in it: that stays. Clips, layers and patterns are not looked at.
"""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence, Set, Tuple

from agent_kernel.runtime.vector_stores.inside.writing import letters

Matrix = Tuple[float, float, float, float, float, float]
Point = Tuple[float, float]
Colour = Optional[Tuple[float, float, float]]
"""Red, green and blue from 0 to 1; None: unknown, such as a pattern or a picture."""

BLACK, WHITE = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
IDENTITY: Matrix = (1.0, 0.0, 0.0, 1.0, 0.0, 0.0)
NEAR = 0.06
"""Colours that differ by less in each part look the same."""
TINY = 1.0
"""Points of height below which nobody reads."""
MOST = 1000
"""Shapes of a page that are remembered; they are at least `TINY` wide and high."""

SHOWING = frozenset((b"Tj", b"TJ", b"'", b'"'))
_FILLING = frozenset((b"f", b"F", b"f*", b"B", b"B*", b"b", b"b*"))
_ENDING = _FILLING | {b"S", b"s", b"n"}
_SPACES = {"/DeviceGray": 1, "/DeviceRGB": 3, "/DeviceCMYK": 4, "/CalGray": 1, "/CalRGB": 3}
_PLAIN = {b"g": 1, b"rg": 3, b"k": 4, b"G": 1, b"RG": 3, b"K": 4}


def visible_text(page: Any) -> Tuple[str, int]:
    """Return the text of a page, and how many characters were left out."""
    look = Look(page)
    text = page.extract_text(visitor_operand_before=look.before, visitor_operand_after=look.after) or ""
    hidden = look.hidden()
    if not hidden:
        return text, 0
    seen = page.extract_text(visitor_operand_before=Blanking(hidden).before) or ""
    return seen, max(0, letters(text) - letters(seen))


class Blanking:
    """Empties the operations that show hidden text, by their numbers."""

    def __init__(self, hidden: Set[int]) -> None:
        self._hidden, self._number = hidden, 0

    def before(self, operator: bytes, operands: List[Any], cm: Any, tm: Any) -> None:
        if operator in SHOWING:
            self._number += 1
            if self._number in self._hidden and operands:
                operands[-1] = type(operands[-1])()


class Drawing:
    """What `q` keeps and `Q` brings back."""

    def __init__(self, of: Optional[Drawing] = None) -> None:
        self.__dict__.update(of.__dict__ if of else {})
        if of is None:
            self.mode, self.size, self.opaque, self.unseen = 0, 12.0, True, False
            self.colours: Dict[str, Colour] = {"fill": BLACK, "stroke": BLACK}
            self.spaces: Dict[str, Optional[int]] = {"fill": 1, "stroke": 1}
        self.colours, self.spaces = dict(self.colours), dict(self.spaces)


class Painted:
    """What was painted: a polygon, in one colour, after so many texts."""

    def __init__(self, after: int, points: Sequence[Point], colour: Colour, is_image: bool) -> None:
        self.after, self.points, self.colour, self.is_image = after, tuple(points), colour, is_image
        across, up = [point[0] for point in points], [point[1] for point in points]
        self.left, self.right, self.bottom, self.top = min(across), max(across), min(up), max(up)

    def holds(self, point: Point) -> bool:
        near = self.left <= point[0] <= self.right and self.bottom <= point[1] <= self.top
        return near and inside(point, self.points)

    def covers(self, point: Point) -> bool:
        return self.colour is not None and self.holds(point)


class Look:
    """Follows the operations of a page, and of the forms that it draws, and judges each text."""

    def __init__(self, page: Any) -> None:
        self._state, self._kept = Drawing(), []  # type: Tuple[Drawing, List[Drawing]]
        self._resources: List[Any] = [page.get("/Resources")]
        self._bases: List[Matrix] = [IDENTITY]
        self._paths: List[List[Point]] = []
        self._shapes: List[Painted] = []
        self._texts: List[Tuple[Point, bool]] = []  # where, and whether it is hidden by mode alone
        self._hidden: Set[int] = set()
        box = page.cropbox
        self._box = (float(box.left), float(box.bottom), float(box.right), float(box.top))

    def hidden(self) -> Set[int]:
        """Return the numbers of the operations that show hidden text, from 1."""
        found = set(self._hidden)
        for number, (point, unpainted) in enumerate(self._texts, 1):
            if unpainted:
                is_hidden = not any(each.is_image and each.holds(point) for each in self._shapes)
            else:
                is_hidden = any(each.after >= number and each.covers(point) for each in self._shapes)
            if is_hidden:
                found.add(number)
        return found

    def before(self, operator: bytes, operands: List[Any], cm: Any, tm: Any) -> None:
        full = times(tuple(cm), self._bases[-1])
        if operator == b"q":
            self._kept.append(Drawing(self._state))
        elif operator == b"Q" and self._kept:
            self._state = self._kept.pop()
        elif operator in SHOWING:
            self._judge(times(tuple(tm), full))
        elif operator == b"Do" and operands:
            self._draw(str(operands[0]), full)
        elif operator in (b"re", b"m", b"l", b"c", b"v", b"y"):
            self._extend(operator, numbers(operands), full)
        elif operator in _ENDING:
            if operator in _FILLING:
                for path in self._paths:
                    self._paint(path, self._state.colours["fill"] if self._state.opaque else None)
            self._paths = []
        else:
            self._set(operator, operands)

    def after(self, operator: bytes, operands: List[Any], cm: Any, tm: Any) -> None:
        if operator == b"Do" and operands:
            self._bases.pop()
            self._resources.pop()
            self._state = self._kept.pop() if self._kept else self._state

    def _set(self, operator: bytes, operands: List[Any]) -> None:
        state, found = self._state, numbers(operands)
        which = "fill" if operator[:1].islower() else "stroke"
        if operator == b"Tr" and found:
            state.mode = int(found[0])
        elif operator == b"Tf" and found:
            state.size = found[-1]
        elif operator == b"gs" and operands:
            self._extended(self._resource("/ExtGState", operands[0]))
        elif operator in _PLAIN:
            state.colours[which] = rgb(found) if len(found) == _PLAIN[operator] else None
        elif operator in (b"cs", b"CS") and operands:
            state.spaces[which] = self._components(operands[0])
            state.colours[which] = BLACK if state.spaces[which] else None
        elif operator in (b"sc", b"scn", b"SC", b"SCN"):
            known = state.spaces[which] == len(found) == len(operands)
            state.colours[which] = rgb(found) if known else None

    def _extended(self, given: Any) -> None:
        if given is None:
            return
        alpha, blend = given.get("/ca"), given.get("/BM")
        if alpha is not None:
            self._state.unseen = float(alpha) < NEAR
            self._state.opaque = float(alpha) >= 1
        if blend is not None and str(blend) not in ("/Normal", "/Compatible"):
            self._state.opaque = False

    def _judge(self, matrix: Matrix) -> None:
        state, size = self._state, self._state.size
        point = applied(matrix, (0.3 * size, 0.3 * size))
        self._texts.append((point, state.mode in (3, 7)))
        number = len(self._texts)
        height = abs(size) * (matrix[2] ** 2 + matrix[3] ** 2) ** 0.5
        left, bottom, right, top = self._box
        margin = max(height, 4.0)
        is_off = not (left - margin < point[0] < right + margin and bottom - margin < point[1] < top + margin)
        if is_off or height < TINY or state.unseen or (state.mode not in (3, 7) and self._blends(point)):
            self._hidden.add(number)

    def _blends(self, point: Point) -> bool:
        """Return whether text of the present colours cannot be told from what lies beneath it."""
        if len(self._shapes) == MOST:  # there may be more
            return False
        below = next((each for each in reversed(self._shapes) if each.holds(point)), None)
        ground = WHITE if below is None else below.colour
        mode = self._state.mode % 4
        used = {0: ["fill"], 1: ["stroke"], 2: ["fill", "stroke"]}.get(mode, ["fill"])
        return all(alike(self._state.colours[each], ground) for each in used)

    def _draw(self, name: str, full: Matrix) -> None:
        """Enter a form, or note a picture."""
        found = self._resource("/XObject", name)
        is_image = found is not None and str(found.get("/Subtype")) == "/Image"
        if is_image:
            corners = [applied(full, each) for each in ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))]
            self._paint(corners, None, image=True)
        matrix = numbers(found.get("/Matrix") or ()) if found is not None and not is_image else []
        self._bases.append(times(tuple(matrix), full) if len(matrix) == 6 else full)  # type: ignore[arg-type]
        own = found.get("/Resources") if found is not None and not is_image else None
        self._resources.append(own.get_object() if own is not None else self._resources[-1])
        self._kept.append(Drawing(self._state))

    def _extend(self, operator: bytes, found: List[float], full: Matrix) -> None:
        if operator == b"re" and len(found) == 4:
            x, y, width, height = found
            corners = ((x, y), (x + width, y), (x + width, y + height), (x, y + height))
            self._paths.append([applied(full, each) for each in corners])
        elif len(found) >= 2:
            if operator == b"m" or not self._paths:
                self._paths.append([])
            self._paths[-1].append(applied(full, (found[-2], found[-1])))

    def _paint(self, path: List[Point], colour: Colour, *, image: bool = False) -> None:
        if len(self._shapes) < MOST and len(path) > 2:
            shape = Painted(len(self._texts), path, colour, image)
            if shape.right - shape.left >= TINY and shape.top - shape.bottom >= TINY:
                self._shapes.append(shape)

    def _resource(self, kind: str, name: Any) -> Any:
        held = self._resources[-1]
        held = held.get_object().get(kind) if held is not None else None
        found = held.get_object().get(str(name)) if held is not None else None
        return found.get_object() if found is not None else None

    def _components(self, name: Any) -> Optional[int]:
        """Return how many numbers a colour of this space has; None if they are not simple to understand."""
        if str(name) in _SPACES:
            return _SPACES[str(name)]
        space = self._resource("/ColorSpace", name)
        if isinstance(space, list) and space:
            if str(space[0]) == "/ICCBased" and len(space) > 1:
                return int(space[1].get_object().get("/N", 0)) or None
            return _SPACES.get(str(space[0]))
        return None


def numbers(operands: Any) -> List[float]:
    return [float(each) for each in operands if isinstance(each, (int, float))]


def rgb(parts: List[float]) -> Colour:
    """Return a colour of grey, RGB or CMYK."""
    if len(parts) == 4:
        black = 1 - parts[3]
        return tuple((1 - each) * black for each in parts[:3])  # type: ignore[return-value]
    return tuple(parts * 3 if len(parts) == 1 else parts)  # type: ignore[return-value]


def alike(one: Colour, other: Colour) -> bool:
    return one is not None and other is not None and all(abs(a - b) < NEAR for a, b in zip(one, other))


def times(first: Matrix, then: Matrix) -> Matrix:
    a, b, c, d, e, f = first
    g, h, i, j, k, m = then
    return (a * g + b * i, a * h + b * j, c * g + d * i, c * h + d * j, e * g + f * i + k, e * h + f * j + m)


def applied(matrix: Matrix, point: Point) -> Point:
    a, b, c, d, e, f = matrix
    return (a * point[0] + c * point[1] + e, b * point[0] + d * point[1] + f)


def inside(point: Point, shape: Sequence[Point]) -> bool:
    """Return whether a point is in a polygon, by how often a line from it crosses the sides."""
    x, y = point
    found = False
    for (x1, y1), (x2, y2) in zip(shape, [*shape[1:], shape[0]]):
        if (y1 > y) != (y2 > y) and x < (x2 - x1) * (y - y1) / (y2 - y1) + x1:
            found = not found
    return found
