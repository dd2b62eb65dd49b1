"""Which runs of a Word file nobody sees: marked as hidden, white on white, or below two points in size."""

from __future__ import annotations

from typing import Dict, Iterator, List, Optional
from xml.etree.ElementTree import Element

TINY = 3
"""Half points up to which nobody reads."""
WHITE = 0xF5
"""The least part of a colour that counts as white."""
_OFF = frozenset(("0", "false", "off", "none"))
DEEPEST = 20

Properties = Dict[str, str]


class WordStyles:
    """The styles of a document, by their ids. `root` is `word/styles.xml`."""

    def __init__(self, root: Optional[Element]) -> None:
        self._styles = {value(each, "styleId"): each for each in (root if root is not None else ())}

    def unseen(self, run: Element, paragraph: Optional[Element], *, ground: bool) -> bool:
        """Return whether the text of a run is invisible. `ground`: what is around it has a colour."""
        found: Properties = {}
        own = child(paragraph, "pPr") if paragraph is not None else None
        found.update(self._of(value(child(own, "pStyle"), "val")))
        properties = child(run, "rPr")
        found.update(self._of(value(child(properties, "rStyle"), "val")))
        found.update(direct(properties))
        if found.get("vanish", "0") not in _OFF:
            return True
        size = found.get("sz", "")
        if size.isdigit() and int(size) <= TINY:
            return True
        ground = ground or has_shading(properties) or has_shading(own)
        return not ground and not found.get("shd") and is_white(found.get("color", ""))

    def _of(self, name: str) -> Properties:
        """Return what a style says, with those that it is based on."""
        chain: List[Element] = []
        while name in self._styles and len(chain) < DEEPEST:
            chain.append(self._styles[name])
            name = value(child(chain[-1], "basedOn"), "val")
        found: Properties = {}
        for style in reversed(chain):
            found.update(direct(child(style, "rPr")))
            if has_shading(child(style, "pPr")):
                found["shd"] = "1"
        return found


def direct(properties: Optional[Element]) -> Properties:
    """Return what properties of a run say themselves. A toggle without a value is on."""
    found: Properties = {}
    for each in properties if properties is not None else ():
        name = local(each)
        if name in ("vanish", "color", "sz"):
            found[name] = value(each, "val") or "1"
        elif name in ("shd", "highlight"):
            found["shd"] = "1"
    return found


def has_shading(properties: Optional[Element]) -> bool:
    """Return whether something has a ground of its own that is not white."""
    shading = child(properties, "shd")
    fill = value(shading, "fill").upper()
    return shading is not None and fill not in ("", "AUTO") and not is_white(fill)


def is_white(colour: str) -> bool:
    try:
        return len(colour) == 6 and all(int(colour[n : n + 2], 16) >= WHITE for n in (0, 2, 4))
    except ValueError:
        return False


def child(node: Optional[Element], name: str) -> Optional[Element]:
    return next((each for each in node if local(each) == name), None) if node is not None else None


def value(node: Optional[Element], name: str) -> str:
    """Return an attribute, in whatever name space."""
    attributes = node.attrib.items() if node is not None else ()
    return next((text for key, text in attributes if key.rpartition("}")[2] == name), "")


def local(node: Element) -> str:
    return str(node.tag).rpartition("}")[2]


def grounds(table: Element) -> Iterator[Element]:
    """Yield the tables, rows and cells from a table down that have a colour."""
    for each in table.iter():
        properties = child(each, local(each) + "Pr")
        styled = local(each) == "tbl" and child(properties, "tblStyle") is not None
        if local(each) in ("tbl", "tr", "tc") and (styled or has_shading(properties)):
            yield each
