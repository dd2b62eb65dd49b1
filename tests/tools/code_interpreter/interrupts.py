"""Interrupts a cell's outputs COUNT times, in a process of its own: they may hit any line of it."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import Any

from agent_kernel.tools.code_interpreter.inside.live import Live

PRINTED = {"output_type": "stream", "name": "stdout", "text": "x"}


def main(count: int) -> None:
    """Fail if an interrupt has kept the lock: it stops the live outputs of all later cells."""
    reader, writer = os.pipe()
    interrupted, over = threading.Event(), threading.Event()
    may_raise = False

    def interrupt(*_: Any) -> None:
        nonlocal may_raise
        if may_raise:
            may_raise = False
            raise KeyboardInterrupt

    def poke() -> None:
        for _ in range(count):
            interrupted.clear()
            signal.pthread_kill(thread_id, signal.SIGUSR1)
            interrupted.wait(0.05)
        over.set()

    def read() -> None:
        while os.read(reader, 1 << 16):
            pass

    thread_id = threading.main_thread().ident or 0
    before = signal.signal(signal.SIGUSR1, interrupt)
    threads = [threading.Thread(target=read), threading.Thread(target=poke)]
    with os.fdopen(writer, "wb") as answers:
        live = Live(answers)
        add = live.begin("cell")
        for thread in threads:
            thread.start()
        while not over.is_set():
            try:
                may_raise = True
                while not over.is_set():
                    add(PRINTED)
            except KeyboardInterrupt:
                interrupted.set()
        may_raise = False
        taken: list[bool] = []

        def take() -> None:
            taken.append(live._lock.acquire(timeout=20))
            if taken == [True]:
                live._lock.release()

        other = threading.Thread(target=take)
        other.start()
        other.join()
        threads[1].join()
        signal.signal(signal.SIGUSR1, before)
        assert taken == [True]
        live.end()
    threads[0].join()
    os.close(reader)


if __name__ == "__main__":
    main(int(sys.argv[1]))
