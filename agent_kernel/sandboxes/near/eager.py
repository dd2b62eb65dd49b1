"""Coroutines that begin at once: most of them end without a wait, and need neither a turn nor a timer."""

from __future__ import annotations

import asyncio
import contextvars
import sys
from asyncio.tasks import _enter_task, _leave_task
from collections.abc import Coroutine, Generator
from typing import Any, Generic, TypeVar

Result = TypeVar("Result")


def begin(coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Run a coroutine up to its first wait, and return the task that goes on with it.

    It has a copy of the caller's context. What it raises is the task's result.
    """
    loop = asyncio.get_running_loop()
    if sys.version_info >= (3, 12):
        return asyncio.Task(coroutine, loop=loop, eager_start=True)
    context = contextvars.copy_context()
    begun = _Begun(coroutine)
    task = asyncio.Task(begun, loop=loop, context=context)
    outer = asyncio.current_task(loop)
    if outer is not None:
        _leave_task(loop, outer)
    _enter_task(loop, task)  # documented for those who run coroutines themselves: "Extending" in asyncio
    try:
        context.run(begun.begin)
    finally:
        _leave_task(loop, task)
        if outer is not None:
            _enter_task(loop, outer)
    return task


class InTime(Generic[Result]):
    """Await it for what a coroutine returns. Raises what that raises, `TimeoutError` after `seconds`."""

    def __init__(self, coroutine: Coroutine[Any, Any, Result], seconds: float) -> None:
        self._coroutine = coroutine
        self._seconds = seconds

    def __await__(self) -> Generator[Any, Any, Result]:
        try:
            waits_for = self._coroutine.send(None)
        except StopIteration as end:
            result: Result = end.value
            return result
        return (yield from self._wait(_Begun(self._coroutine, waits_for)).__await__())

    async def _wait(self, begun: _Begun[Result]) -> Result:
        async with asyncio.timeout(self._seconds):
            return await begun


class _Begun(Coroutine[Any, Any, Result]):
    """A coroutine that ran up to its first wait, for `waits_for` or in `begin`: its first step tells that."""

    def __init__(self, coroutine: Coroutine[Any, Any, Result], waits_for: Any = None) -> None:
        self._coroutine = coroutine
        self._waits_for = waits_for
        self._end: BaseException | None = None
        self._first = True

    def begin(self) -> None:
        """Run it to its first wait. Raises nothing."""
        try:
            self._waits_for = self._coroutine.send(None)
        except BaseException as end:  # noqa: BLE001 (the first step raises it)
            self._end = end

    def send(self, value: Any) -> Any:
        """Go on; see `Coroutine`."""
        if not self._first:
            return self._coroutine.send(value)
        self._first = False
        self._raise_end()
        waits_for, self._waits_for = self._waits_for, None
        return waits_for

    def throw(self, *error: Any) -> Any:
        """Go on with an error; see `Coroutine`."""
        if self._first:
            self._first = False
            self._raise_end()
        return self._coroutine.throw(*error)

    def _raise_end(self) -> None:
        if self._end is not None:
            end, self._end = self._end, None
            raise end

    def close(self) -> None:
        """End it; see `Coroutine`."""
        self._coroutine.close()

    def __await__(self) -> Generator[Any, Any, Result]:
        try:
            waits_for = self.send(None)
            while True:
                try:
                    value = yield waits_for
                except GeneratorExit:
                    self.close()
                    raise
                except BaseException as error:  # noqa: BLE001 (the coroutine gets it)
                    waits_for = self.throw(error)
                else:
                    waits_for = self.send(value)
        except StopIteration as end:
            result: Result = end.value
            return result
