"""The names of keys: those of X (and xdotool), of the DOM, and those that OpenAI's models use."""

from __future__ import annotations

MODIFIERS = {
    "shift": 0xFFE1,
    "control": 0xFFE3,
    "alt": 0xFFE9,
    "super": 0xFFEB,
    "meta": 0xFFEB,
    "altgr": 0xFE03,
}
_SAME = {
    "ctrl": "control", "ctl": "control", "controlleft": "control", "controll": "control",
    "shiftleft": "shift", "shiftl": "shift", "option": "alt", "altleft": "alt", "altl": "alt",
    "cmd": "super", "command": "super", "win": "super", "windows": "super", "os": "super", "superl": "super",
    "metaleft": "super", "metal": "super", "altgraph": "altgr", "isolevel3shift": "altgr",
    "altright": "altgr",
}  # fmt: skip

_KEYS = {
    "backspace": 0xFF08, "tab": 0xFF09, "return": 0xFF0D, "enter": 0xFF0D, "pause": 0xFF13,
    "scrolllock": 0xFF14, "escape": 0xFF1B, "esc": 0xFF1B, "home": 0xFF50, "left": 0xFF51, "up": 0xFF52,
    "right": 0xFF53, "down": 0xFF54, "arrowleft": 0xFF51, "arrowup": 0xFF52, "arrowright": 0xFF53,
    "arrowdown": 0xFF54, "pageup": 0xFF55, "prior": 0xFF55, "pgup": 0xFF55, "pagedown": 0xFF56,
    "next": 0xFF56, "pgdn": 0xFF56, "end": 0xFF57, "printscreen": 0xFF61, "print": 0xFF61,
    "insert": 0xFF63, "ins": 0xFF63, "menu": 0xFF67, "contextmenu": 0xFF67, "apps": 0xFF67,
    "numlock": 0xFF7F, "kpenter": 0xFF8D, "numpadenter": 0xFF8D, "capslock": 0xFFE5, "delete": 0xFFFF,
    "del": 0xFFFF, "space": 0x20, "spacebar": 0x20,
    "kpmultiply": 0xFFAA, "kpadd": 0xFFAB, "kpsubtract": 0xFFAD, "kpdecimal": 0xFFAE, "kpdivide": 0xFFAF,
    "plus": 0x2B, "minus": 0x2D, "equal": 0x3D, "comma": 0x2C, "period": 0x2E, "dot": 0x2E, "slash": 0x2F,
    "backslash": 0x5C, "semicolon": 0x3B, "colon": 0x3A, "apostrophe": 0x27, "quotedbl": 0x22, "grave": 0x60,
    "backquote": 0x60, "quote": 0x27, "bracketleft": 0x5B, "bracketright": 0x5D, "underscore": 0x5F,
    "asterisk": 0x2A, "question": 0x3F, "exclam": 0x21, "at": 0x40, "numbersign": 0x23, "dollar": 0x24,
    "percent": 0x25, "ampersand": 0x26, "parenleft": 0x28, "parenright": 0x29, "less": 0x3C, "greater": 0x3E,
    "bar": 0x7C, "braceleft": 0x7B, "braceright": 0x7D, "asciitilde": 0x7E, "asciicircum": 0x5E,
    **{"f%d" % n: 0xFFBD + n for n in range(1, 25)},
    **{"kp%d" % n: 0xFFB0 + n for n in range(10)},
    **{"numpad%d" % n: 0xFFB0 + n for n in range(10)},
    **{"digit%d" % n: 0x30 + n for n in range(10)},
    **{"key" + chr(n): n for n in range(0x61, 0x7B)},
}  # fmt: skip


def keysym_of(character: str) -> int:
    """Return the keysym that types a character."""
    code = ord(character)
    if character in "\r\n":
        return _KEYS["return"]
    if character in "\t\b\x1b":
        return 0xFF00 + code
    return code if 0x20 <= code <= 0x7E or 0xA0 <= code <= 0xFF else 0x01000000 + code


def chord_of(keys: list[str]) -> list[int] | str:
    """Return the keysyms of keys that are pressed together, or the name that is not known.

    A name may itself be a chord: `ctrl+l`. A letter beside other keys is its key, not its capital: what CTRL
    and L press is Ctrl with the key L.
    """
    names = [name for key in keys for name in _split(key)]
    found = []
    for name in names:
        keysym = keysym_named(name.lower() if len(name) == 1 and len(names) > 1 else name)
        if keysym is None:
            return name
        found.append(keysym)
    return found


def keysym_named(name: str) -> int | None:
    """Return the keysym of one key's name, None if it is not known."""
    if len(name) == 1:
        return keysym_of(name)
    plain = name.lower().replace("_", "").replace("-", "").replace(" ", "")
    word = _SAME.get(plain, plain)
    return MODIFIERS.get(word) or _KEYS.get(word)


def _split(key: str) -> list[str]:
    if len(key) < 2 or "+" not in key:
        return [key]
    parts = key.split("+")
    if key.endswith("+"):  # ctrl++
        parts = [*key[:-1].rstrip("+").split("+"), "+"]
    return [part for part in parts if part]
