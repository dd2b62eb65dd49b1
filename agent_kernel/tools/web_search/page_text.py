"""Writes the text of a web page: `python -I page_text.py URL CHARACTERS CHARSET`, HTML in, JSON out.

Runs as a process of its own, with limits on time and memory, and without the environment: a page is hostile,
and parsers are written in C. Text that a reader of the page would not see is left out and counted.

It prints `{"title": ..., "text": ..., "hidden": N}`, where `text` is Markdown and N counts characters.
"""

from __future__ import annotations

import json
import re
import resource
import sys
from collections.abc import Iterable
from typing import Any

MEMORY = 1 << 30
SECONDS = 15
DEEPEST = 200

_HIDING = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*(hidden|collapse)|opacity\s*:\s*0*\.?0*(?![.\d])|"
    r"font-size\s*:\s*(0*\.?0*(px|pt|em|rem|%)?|1(\.\d+)?(px|pt))\s*(;|!|$)|text-indent\s*:\s*-\d{3,}|"
    r"(left|top)\s*:\s*-\d{3,}|clip(-path)?\s*:\s*(rect\(\s*0|inset\(\s*(50|100)%)|"
    r"(?<![-\w])(max-)?(width|height)\s*:\s*0(px)?\s*(;|!|$).*overflow\s*:\s*hidden|"
    r"(?<![-\w])color\s*:\s*transparent",
    re.I | re.S,
)
_WHITE = r"(#fff(fff)?(ff)?\b|white\b|rgba?\(\s*25[0-5][\s,]+25[0-5][\s,]+25[0-5])"
_WHITE_TEXT = re.compile(rf"(?<![-\w])color\s*:\s*{_WHITE}", re.I)
_GROUND = re.compile(r"background(-color|-image)?\s*:\s*([^;]+)", re.I)
_RULE = re.compile(r"([^{}]{1,400})\{([^{}]{0,4000})\}")
_SIMPLE = re.compile(r"(?:[a-z][a-z0-9]*)?(?:([.#])([\w-]+))?", re.I)
_DROPPED = ("script", "style", "template", "noscript", "svg", "math", "iframe", "object", "head")
_UNSEEN = re.compile(
    "[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff\U000e0000-\U000e007f]"
)


def hides(style: str, *, on_white: bool = True) -> bool:
    """Return whether declarations make text invisible; white text counts without another ground."""
    if _HIDING.search(style):
        return True
    return bool(on_white and _WHITE_TEXT.search(style) and not has_ground(style))


def has_ground(style: str) -> bool:
    """Return whether declarations have a ground other than white."""
    ground = _GROUND.search(style)
    return ground is not None and not re.match(
        rf"\s*({_WHITE}|none|transparent|inherit)", ground.group(2), re.I
    )


def simple_rules(sheets: Iterable[str]) -> list[tuple[str, str, str]]:
    """Return what style sheets declare for plain selectors: `.` a class, `#` an id, or "" a tag; its name."""
    found = []
    for sheet in sheets:
        text = re.sub(r"@media\s+print[^{]*\{(?:[^{}]*\{[^{}]*\})*[^{}]*\}", "", sheet)
        for selectors, declared in _RULE.findall(text[:500_000]):
            for selector in filter(None, map(str.strip, selectors.split(","))):
                if plain := _SIMPLE.fullmatch(selector):
                    found.append((plain.group(1) or "", plain.group(2) or selector.lower(), declared))
    return found


def hiding_rules(tree: Any) -> tuple[set[str], set[str]]:
    """Return the classes and the ids that the page's own style sheets hide, by plain selectors."""
    rules = simple_rules(sheet.text or "" for sheet in tree.iter("style"))
    hiding = [(mark, name) for mark, name, declared in rules if mark and hides(declared)]
    return {name for mark, name in hiding if mark == "."}, {name for mark, name in hiding if mark == "#"}


def is_hidden(node: Any, classes: set[str], ids: set[str]) -> bool:
    """Return whether an element and all in it is invisible."""
    if node.get("hidden") is not None or node.get("type") == "hidden":
        return True
    if hides(node.get("style") or "") or (node.get("id") or "") in ids:
        return True
    return not classes.isdisjoint((node.get("class") or "").split())


def words_in(node: Any) -> int:
    """Return how many characters of text are in an element."""
    return len(" ".join("".join(node.itertext()).split()))


def without_hidden(tree: Any) -> int:
    """Remove what is invisible from the tree. Return how many characters of text that was."""
    from lxml import etree

    classes, ids = hiding_rules(tree)
    left_out = 0
    body = tree if tree.tag == "body" else tree.find("body")
    for node in list(body.iter()) if body is not None else []:
        if node is body or node.getparent() is None:
            continue
        if not isinstance(node.tag, str) or node.tag in _DROPPED:  # a comment
            node.drop_tree()
        elif is_hidden(node, classes, ids):
            left_out += words_in(node)
            node.drop_tree()
        else:  # trafilatura drops what has `overflow: hidden`
            node.attrib.pop("style", None)
    etree.strip_elements(tree, etree.Comment, with_tail=False)
    return left_out


def text_of(data: bytes, url: str, charset: str, longest: int) -> dict[str, Any]:
    """Return what this program prints."""
    import lxml.html
    import trafilatura

    parser = lxml.html.HTMLParser(encoding=charset or None, huge_tree=False, no_network=True)
    tree = lxml.html.document_fromstring(data, parser=parser)
    title = tree.findtext(".//title") or ""
    hidden = without_hidden(tree)
    tree.make_links_absolute(url, handle_failures="discard")
    text = trafilatura.extract(
        tree,
        output_format="markdown",
        include_links=True,
        include_tables=True,
        include_comments=True,
        favor_recall=True,
        deduplicate=False,
    )
    if not text:
        text = "\n".join(filter(None, (" ".join(line.split()) for line in tree.text_content().split("\n"))))
    hidden += len(_UNSEEN.findall(text))
    return {"title": " ".join(title.split())[:300], "text": _UNSEEN.sub("", text)[:longest], "hidden": hidden}


def main() -> None:
    """Limit this process, and do what the module says."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    url, longest, charset = sys.argv[1:4]
    found = text_of(sys.stdin.buffer.read(), url, charset, int(longest))
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
