"""Keys and text. Characters that no key has get spare keys for a while."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable

from agent_kernel.tools.computer.inside import names, x11

_PRESS, _RELEASE = 2, 3
_MAP_READ = 0.2
"""Seconds that programs have to read a new keyboard map."""
_SHIFT = names.MODIFIERS["shift"]


class Keyboard:
    """The keyboard of a display. `settled` waits until the programs have read what was typed."""

    def __init__(self, connection: x11.Connection, settled: Callable[[], None]) -> None:
        self._x = connection
        self._settled = settled
        self._fake = connection.extension("XTEST")[0]
        self._places: dict[int, tuple[int, bool]] = {}
        self._spare: list[int] = []
        self._used: list[int] = []
        self._lent: dict[int, int] = {}
        self._held: list[int] = []
        self._read_map()
        self._most = len(self._spare)

    def _read_map(self) -> None:
        x = self._x
        count = x.max_keycode - x.min_keycode + 1
        answer = x.ask(101, 0, struct.pack("<BBxx", x.min_keycode, count))
        self._width = width = answer[1]
        keysyms = struct.unpack_from("<%dI" % (width * count), answer, 32)
        for index in range(count):
            row = keysyms[index * width : (index + 1) * width]
            code = x.min_keycode + index
            if not any(row):
                self._spare.append(code)
                continue
            for level, keysym in enumerate(row[:2]):
                if keysym and (keysym not in self._places or self._places[keysym][1] > bool(level)):
                    self._places[keysym] = code, bool(level)

    def type(self, text: str) -> None:
        """Type a text, character by character."""
        keysyms = [names.keysym_of(each) for each in text.replace("\r\n", "\n")]
        start = 0
        while start < len(keysyms):
            end = self._lend(keysyms, start)
            for keysym in keysyms[start:end]:
                self._tap(keysym)
            self._x.sync()
            start = end

    def press(self, keysyms: list[int]) -> None:
        """Press keys together, and release them in the opposite order."""
        self._lend(keysyms, 0)
        held = len(self._held)
        for keysym in keysyms:
            self._down(keysym)
        self._x.sync()
        self._release(held)

    def hold(self, keysyms: list[int]) -> None:
        """Press keys until `release`."""
        self._lend(keysyms, 0)
        for keysym in keysyms:
            self._down(keysym)
        self._x.sync()

    def tap(self, text: str) -> None:
        """Type characters while other keys are held. Shift is let go for them: their keys may not need it."""
        shift = self._places[_SHIFT][0]
        held = shift in self._held
        if held:
            self._event(_RELEASE, shift)
        self.type(text)
        if held:
            self._event(_PRESS, shift)
            self._x.sync()

    def down(self, keysym: int) -> None:
        """Press a key until `up` or `release`. One that is held is pressed anew, as a keyboard repeats it."""
        self.up(keysym)
        self.hold([keysym])

    def up(self, keysym: int) -> None:
        """Release a key that may be held."""
        code = self._places.get(keysym, (0, False))[0]
        if code in self._held:
            self._event(_RELEASE, code)
            self._x.sync()

    def release(self) -> None:
        """Release all keys that are held."""
        self._release(0)

    def _tap(self, keysym: int) -> None:
        held = len(self._held)
        self._down(keysym)
        self._release(held, sync=False)

    def _down(self, keysym: int) -> None:
        code, shifted = self._places[keysym]
        if shifted and self._places[_SHIFT][0] not in self._held:
            self._event(_PRESS, self._places[_SHIFT][0])
        self._event(_PRESS, code)

    def _release(self, keep: int, *, sync: bool = True) -> None:
        while len(self._held) > keep:
            self._event(_RELEASE, self._held[-1])
        if sync:
            self._x.sync()

    def _event(self, kind: int, code: int) -> None:
        self._x.request(self._fake, 2, struct.pack("<BBxxII8xhh8x", kind, code, 0, 0, 0, 0))
        if kind == _PRESS:
            self._held.append(code)
        else:
            self._held.remove(code)

    def _lend(self, keysyms: list[int], start: int) -> int:
        """Give keys to the characters from `start` on that have none; return up to where they do.

        Before a key gets a new character, programs must have read what was typed with the old one, and after
        it they must have read the new map. X tells of neither, so both are waited for.
        """
        wanted: dict[int, None] = {}
        end = start
        for keysym in keysyms[start:]:
            if keysym not in self._places and keysym not in wanted:
                if len(wanted) == self._most:
                    break
                wanted[keysym] = None
            end += 1
        again = len(wanted) > len(self._spare)
        if again:
            self._settled()
            self._take_back(set(keysyms[start:end]), len(wanted))
        for keysym in wanted:
            if not self._spare:
                return keysyms.index(keysym, start)
            self._give(self._spare.pop(), keysym)
        if wanted:
            self._x.sync()
            time.sleep(_MAP_READ)
        return end

    def _take_back(self, keep: set[int], wanted: int) -> None:
        for code in [each for each in self._used if self._lent[each] not in keep]:
            if len(self._spare) >= wanted:
                return
            self._used.remove(code)
            del self._places[self._lent.pop(code)]
            self._spare.append(code)

    def _give(self, code: int, keysym: int) -> None:
        row = [keysym, keysym, *[0] * (self._width - 2)]
        self._x.request(100, 1, struct.pack("<BBxx%dI" % self._width, code, self._width, *row))
        self._places[keysym] = code, False
        self._lent[code] = keysym
        self._used.append(code)
