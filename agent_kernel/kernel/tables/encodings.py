"""Find the encoding of a text file from its bytes. Pure; bounded by the bytes given."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

SAMPLE = 64 << 10
"""The number of bytes from which the encoding is guessed."""

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig", ""),
    (codecs.BOM_UTF32_LE, "utf-32", "UTF-32"),
    (codecs.BOM_UTF32_BE, "utf-32", "UTF-32"),
    (codecs.BOM_UTF16_LE, "utf-16", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16", "UTF-16"),
)
# Asked in this order; all but the first few only where the bytes are no Western text.
_OTHERS = (
    "cp1250 cp1251 koi8_r cp1253 cp1254 cp1255 cp1256 cp1257 cp437 cp850 mac_roman "
    "shift_jis euc_jp gb18030 big5 euc_kr"
)
_NON_ASCII = re.compile(rb"[^\x80-\xff\n]{0,2}[\x80-\xff]+[^\x80-\xff\n]{0,2}")
_WESTERN = re.compile(r"[A-Za-z]?[À-ÖØ-öø-ÿŠŽšžŒœŸ]{1,2}(?:[a-z\W\d_]|$)|[A-Z][À-ÖØ-Þ]{1,2}[A-Z]?")
_SIGNS = frozenset("€£¥§©®°±²³µ·¼½¾×÷–—‘’“”„…•«»™ºª¿¡¢\u00a0\u00ad´")
_SIGNS_IN_WORDS = frozenset("’´–\u00a0")
_FOREIGN = re.compile(r"[À-ÿ¡-¿]{3}")  # as other alphabets look
_NAMES = {"cp1252": "Windows-1252 (Latin-1)", "utf_8": "UTF-8"}


@dataclass(frozen=True)
class Decoded:
    """A file's text, what the user should know about its encoding (empty for UTF-8), and Python's codec."""

    text: str
    note: str = ""
    codec: str = "utf-8"


def decode(data: bytes, *, whole: bool) -> Decoded:
    """Return the text of `data`; unless it is the `whole` file, it may end inside a character."""
    for mark, codec, name in _MARKS:
        if data.startswith(mark):
            text = _incrementally(data, codec, whole)
            return Decoded(text, f"read as {name}" if name else "", codec)
    if codec := _utf16_without_mark(data):
        return Decoded(_incrementally(data, codec, whole), "read as UTF-16 (a guess)", codec)
    try:
        return Decoded(codecs.getincrementaldecoder("utf-8")().decode(data, final=whole))
    except UnicodeDecodeError:
        pass
    if (wrong := _nearly_utf8(data)) is not None:
        text = data.decode("utf-8", "replace")
        bytes_are = "1 byte is" if wrong == 1 else f"{wrong:,} bytes are"
        return Decoded(text, f"{bytes_are} not UTF-8 and shown as \N{REPLACEMENT CHARACTER}")
    codec = _guess(data)
    text = _incrementally(data, codec, whole)
    return Decoded(text, f"read as {_NAMES.get(codec, codec)} (a guess)", codec)


def _incrementally(data: bytes, codec: str, whole: bool) -> str:
    return codecs.getincrementaldecoder(codec)("replace").decode(data, final=whole)


def _utf16_without_mark(data: bytes) -> str:
    """Return the codec in which line ends are line ends and no zero is left, if there is one."""
    sample = data[:SAMPLE]
    for codec in ("utf-16-le", "utf-16-be") if 0 in sample else ():
        try:
            text = codecs.getincrementaldecoder(codec)().decode(sample)
        except UnicodeDecodeError:
            continue
        if "\n" in text and not {"\0", "\u0a00"} & set(text):
            return codec
    return ""


def _nearly_utf8(data: bytes) -> int | None:
    """Return the number of bytes that are not UTF-8 if nearly all others above ASCII are; else None."""
    wrong = sum(
        0xDC80 <= ord(c) <= 0xDCFF for c in data[:SAMPLE].decode("utf-8", "surrogateescape") if c > "\x7f"
    )
    above = len(data[:SAMPLE].translate(None, bytes(range(128))))
    return wrong if wrong and above >= 20 * wrong else None


def _guess(data: bytes) -> str:
    sample = b"\n".join(_NON_ASCII.findall(data[: 16 * SAMPLE])[:2_000])
    if _looks_western(sample):
        return "cp1252"
    lines = [line for line in data[: 4 * SAMPLE].splitlines() if not line.isascii()][:200]
    from charset_normalizer import from_bytes  # imported late: most files are UTF-8

    best = from_bytes(b"\n".join(lines)[:SAMPLE], cp_isolation=["cp1252", *_OTHERS.split()]).best()
    return best.encoding if best else "cp1252"


def _looks_western(sample: bytes) -> bool:
    """Return whether the parts above ASCII read as letters and signs of Western Europe."""
    try:
        parts = sample.decode("cp1252").split("\n")
    except UnicodeDecodeError:
        return False
    good = 0
    for part in parts:
        signs = {c for c in part if c > "\x7f"}
        inside = part[:1].isalpha() and part[-1:].isalpha()
        if not _FOREIGN.search(part):
            as_signs = signs <= _SIGNS and (not inside or signs <= _SIGNS_IN_WORDS)
            good += as_signs or _WESTERN.search(part) is not None
    return good >= 0.9 * len(parts)
