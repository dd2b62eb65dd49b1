"""Find mathematics in a model's Markdown, as distinct from money and shell variables. Pure.

Front ends typeset every pair of dollars that they find in HTML. So the kernel marks its HTML as free of
mathematics (`IGNORED`), and marks within it the formulas that a model meant (`FORMULA`). MathJax 2, 3 and 4
know these classes; MathJax 2 is in exported pages.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markdown_it import MarkdownIt
    from markdown_it.renderer import RendererProtocol
    from markdown_it.rules_block import StateBlock
    from markdown_it.rules_inline import StateInline
    from markdown_it.token import Token

IGNORED = "mathjax_ignore tex2jax_ignore"
FORMULA = "mathjax_process tex2jax_process"
"""Classes of an element: dollars in it are not mathematics, or they are."""

LONGEST = 2_000
"""The longest formula within a line, in characters; also the bound of each search for an end."""
MAX_LINES = 100
"""The longest formula in a block, in lines."""

_ANY = r"[^\\$]|\\."
_DOLLARS = re.compile(rf"\$((?:{_ANY}){{1,{LONGEST}}}?)\$", re.DOTALL)
_DOUBLE = re.compile(rf"\$\$((?:{_ANY}|\$(?!\$)){{1,{LONGEST}}}?)\$\$", re.DOTALL)
_ROUND = re.compile(rf"\\\(((?:[^\\]|\\[^()]){{1,{LONGEST}}}?)\\\)", re.DOTALL)
_SQUARE = re.compile(rf"\\\[((?:[^\\]|\\[^\[\]]){{1,{LONGEST}}}?)\\\]", re.DOTALL)
_BLANK = re.compile(r"\n[ \t]*\n")

_COMMAND = re.compile(r"\\[A-Za-z]")
_SIGN = re.compile(r"[\\^_={}<>]")
_WORD = re.compile(
    r"(?<![\\A-Za-z])(?:[A-Za-z]{3,}|an|as|at|by|de|en|et|if|in|is|it|la|le|of|on|or|to|un|up|vs|we)(?![A-Za-z])"
)
_CUT_OFF = re.compile(r"[/,.;:)\]]|.*[-=+*/:,(\[–—]", re.DOTALL)

_BEGIN = re.compile(
    r"\\begin\{((?:equation|align|alignat|gather|multline|eqnarray|split|cases|[bpvV]?matrix)\*?)\}"
)
_TAG = re.compile(r"<(?=[A-Za-z/!?])")
_CODE = (re.compile(rf"(`+)(?!`).{{1,{LONGEST}}}?(?<!`)\1(?!`)", re.DOTALL), re.compile("`+"))
"""A code span, or backticks that begin none."""
_SPECIAL = re.compile(r"[`$\\]")


def formula_at(text: str, start: int) -> int:
    r"""Return the end of the formula that begins at `start`, or 0 if none begins there.

    A formula is `$…$`, `$$…$$`, `\(…\)` or `\[…\]` whose content is no prose and no amount of money.
    """
    if text.startswith("$$", start):
        found = _DOUBLE.match(text, start)
        ours = found is not None and bool(found[1].strip()) and not _is_prose(found[1])
    elif text.startswith("$", start):
        found = _DOLLARS.match(text, start)
        ours = found is not None and _is_between_dollars(text, found)
    elif text.startswith("\\(", start):
        found = _ROUND.match(text, start)
        ours = found is not None and bool(found[1].strip()) and not _is_prose(found[1].strip())
    else:  # brackets with a backslash are more often brackets than formulas
        found = _SQUARE.match(text, start)
        ours = found is not None and _SIGN.search(found[1]) is not None and not _is_prose(found[1])
    return found.end() if found and ours and not _BLANK.search(found[1]) else 0


def _is_between_dollars(text: str, found: re.Match[str]) -> bool:
    """Return whether the text between two single dollars is a formula."""
    content, before, after = found[1], text[: found.start()][-1:], text[found.end() :][:1]
    if content[0].isspace() or content[-1].isspace() or after == "$":
        return False
    if _COMMAND.search(content):
        return not _is_prose(content)
    if before.isalnum() or after.isdigit() or _CUT_OFF.fullmatch(content) or _CUT_OFF.match(content[0]):
        return False  # US$5, 5$, $5-$7, ($k)
    if after.isalpha() and len(content) > 1 and not _SIGN.search(content):
        return False  # $HOME$PATH, but not the $n$th
    return not _is_prose(content)


def _is_prose(content: str) -> bool:
    """Return whether words stand where a formula would have signs."""
    if not re.search(r"\s", content) or _COMMAND.search(content):
        return False
    words = _WORD.search(content) is not None
    return words and (content.lstrip()[0].isdigit() or not _SIGN.search(content))


# --- in HTML ---------------------------------------------------------------------------------------------


def mathematics(parser: MarkdownIt) -> None:
    """Make a parser keep formulas as they are, each in an element of the class `FORMULA`."""
    parser.inline.ruler.before("escape", "formula", _inline)
    others = {"alt": ["paragraph", "reference", "blockquote", "list"]}
    parser.block.ruler.before("fence", "formula", _block, others)  # type: ignore[arg-type]
    parser.add_render_rule("formula", _element("span"))
    parser.add_render_rule("formula_block", _element("div"))


def _element(tag: str) -> Callable[..., str]:
    def render(_: RendererProtocol, tokens: Sequence[Token], number: int, *__: object) -> str:
        from agent_kernel.kernel.render.text import escape

        end = "\n" if tag == "div" else ""
        return f'<{tag} class="{FORMULA}">{escape(tokens[number].content)}</{tag}>{end}'

    return render


def _inline(state: StateInline, silent: bool) -> bool:
    if state.src[state.pos] not in "$\\":
        return False
    end = formula_at(state.src, state.pos)
    if not end or end > state.posMax:
        return False
    if not silent:
        state.push("formula", "", 0).content = state.src[state.pos : end]
    state.pos = end
    return True


def _block(state: StateBlock, first: int, last: int, silent: bool) -> bool:
    if state.is_code_block(first):
        return False
    opening = state.src[state.bMarks[first] + state.tShift[first] : state.eMarks[first]].rstrip()
    closing = _closing(opening)
    if not closing:
        return False
    end = _last_line(state, first, last, opening, closing)
    if not end:
        return False
    content = state.getLines(first, end, state.blkIndent, False).strip()
    if not content[2 : -len(closing)].strip() or _is_prose(content[2 : -len(closing)]):
        return False
    if not silent:
        state.line = end
        token = state.push("formula_block", "", 0)
        token.map = [first, end]
        token.content = content
    return True


def _closing(opening: str) -> str:
    """Return the text that ends the block beginning with this line; empty if it begins no formula."""
    if opening.startswith("$$"):
        return "$$"
    if opening.startswith("\\["):
        return "\\]"
    found = _BEGIN.match(opening)
    return f"\\end{{{found[1]}}}" if found else ""


def _last_line(state: StateBlock, first: int, last: int, opening: str, closing: str) -> int:
    """Return the line after the formula's last; 0 if it has none, or if text follows the formula."""
    for number in range(first, min(last, first + MAX_LINES)):
        line = state.src[state.bMarks[number] : state.eMarks[number]].rstrip()
        if number > first and line.strip() and state.sCount[number] < state.blkIndent:
            return 0
        found = line.find(closing, line.find(opening) + len(opening[:2]) if number == first else 0)
        if found >= 0:
            return number + 1 if found + len(closing) == len(line) else 0
    return 0


# --- in Markdown -----------------------------------------------------------------------------------------


def delimited(lines: Sequence[str], tokens: Sequence[Token]) -> list[str]:
    r"""Return Markdown's lines with formulas in dollars, and a backslash before each other dollar.

    `tokens` are those of a parser with `mathematics`. Renderers agree on `$…$` and `$$…$$`, not on `\(…\)`.
    Code stays as it is. A `<` in a formula is followed by a space, so that it begins no tag.
    """
    changed = list(lines)
    for first, end in dict.fromkeys((*token.map,) for token in tokens if _has_text(token) and token.map):
        chunk = "\n".join(lines[first:end])
        block = any(token.type == "formula_block" and token.map == [first, end] for token in tokens)
        changed[first:end] = (_dollars_only(chunk) if block else _with_dollars(chunk)).split("\n")
    return changed


def _has_text(token: Token) -> bool:
    return token.type in ("inline", "formula_block")


def _with_dollars(text: str) -> str:
    found: list[str] = []
    position = 0
    for special in _SPECIAL.finditer(text):
        start = special.start()
        if start < position:  # within a formula or a code span
            continue
        found.append(text[position:start])
        piece, position = _piece(text, start)
        found.append(piece)
    return "".join([*found, text[position:]])


def _piece(text: str, start: int) -> tuple[str, int]:
    """Return the code span, formula, escape or dollar at `start` as it is to be written, and its end."""
    if text[start] == "`":
        end = next(found.end() for each in _CODE if (found := each.match(text, start)))
        return text[start:end], end
    end = formula_at(text, start)
    if end:
        return _dollars_only(text[start:end]), end
    return ("\\$", start + 1) if text[start] == "$" else (text[start : start + 2], start + 2)


def _dollars_only(formula: str) -> str:
    """Return the formula in dollars, if it has none inside."""
    formula = _TAG.sub("< ", formula)
    for opening, closing, dollars in (("\\(", "\\)", "$"), ("\\[", "\\]", "$$")):
        at, end = formula.find(opening), formula.rfind(closing)
        if formula.lstrip("> \t").startswith(opening) and "$" not in formula:
            inner = formula[at + 2 : end]
            inner = inner.strip(" ") if dollars == "$" else inner
            return f"{formula[:at]}{dollars}{inner}{dollars}{formula[end + 2 :]}"
    return formula
