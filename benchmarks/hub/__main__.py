"""Many people on one server: what it takes, and what it costs.

    python -m benchmarks.hub [--users 1000] [--seconds 60] [--price 0.10] [--quick]

Simulated users talk, run commands, upload files, steer and interrupt turns, and think in between. The model
is scripted, and a sandbox is one process without isolation, so what is measured is the server. Three limits:

- p95 of the server's time for a turn, with all users at half of the rate at which it is saturated, against
  ten users at the same total rate: at most 2 times. Both have a server of their own, and take turns on the
  machine, so that what else runs on it meets both;
- memory of the server for each idle session: at most 60 kB;
- its start after a crash with 100,000 stored responses, against an empty store: at most 3 times.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.hub import crash
from benchmarks.hub.report import cost, met, percentile, table
from benchmarks.hub.server import HubServer, clients, end_containers, serving, toy_backend
from benchmarks.hub.user import Times, User

FEW = 10
SATURATING = 16
"""Users without thinking, who keep a server busy all the time."""

GROWTH, KILOBYTES, SLOWER = 2.0, 60.0, 3.0
STORED = 100_000
AT_ONCE = 4
"""Sessions that begin at the same time."""

ROUNDS = 4
"""How often few and many users take turns."""


async def phase(users: Sequence[User], every: float, seconds: float, times: Times) -> None:
    """Let users live for so long, each with a step every so many seconds; add what they did to `times`."""
    begun = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for user in users:
            group.create_task(user.live(every, times, begun + seconds))
    times.seconds += time.perf_counter() - begun


async def begin_all(users: Sequence[User]) -> None:
    """Begin sessions, a few at a time."""
    places = asyncio.Semaphore(AT_ONCE)

    async def begin(user: User) -> None:
        async with places:
            await user.begin()

    async with asyncio.TaskGroup() as group:
        for user in users:
            group.create_task(begin(user))


async def growth_by(server: HubServer, users: Sequence[User], words: str) -> float:
    """Begin sessions and leave them alone; print and return what each takes of the server's memory, in kB."""
    before, files = await settled(server), server.open_files()
    await begin_all(users)
    each = (await settled(server) - before) / len(users)
    opened = server.open_files() - files
    print(f"{len(users)} more sessions {words}: {each:.1f} kB each, {opened} more open files", flush=True)
    return each


async def settled(server: HubServer) -> float:
    """Return the memory of the server after it has been left alone for a moment, in kB."""
    await asyncio.sleep(2)
    return server.memory()


async def saturation(few: Sequence[User], arguments: argparse.Namespace) -> float:
    """Return the steps a second of users who do not think; print them."""
    await begin_all(few)
    times = Times()
    await phase(few, 0, arguments.seconds, times)
    print(table(f"saturated by {len(few)} users", times), flush=True)
    return times.rate()


async def idle_memory(server: HubServer, users: Sequence[User]) -> float:
    """Begin sessions on a new server; return the kB that each takes, of the kind that takes more."""
    await begin_all(users[:SATURATING])
    others = users[SATURATING:]
    plain = [user for user in others if not user.has_sandbox]
    memory = await growth_by(server, plain, "without a sandbox")
    sandboxed = [user for user in others if user.has_sandbox]
    return max(memory, await growth_by(server, sandboxed, "with one"))


async def growth(few: Sequence[User], many: Sequence[User], rate: float, seconds: float) -> float:
    """Return p95 of a turn with many users, in times of that with few; print both."""
    quiet, busy = Times(), Times()
    for _ in range(ROUNDS):
        await phase(few, len(few) / rate, seconds / ROUNDS, quiet)
        await phase(many, len(many) / rate, seconds / ROUNDS, busy)
    print(table(f"{len(few)} users at half of that rate", quiet), flush=True)
    print(table(f"{len(many)} users at the same total rate", busy), flush=True)
    return percentile(busy.turns(), 95) / percentile(quiet.turns(), 95)


async def load(folder: Path, toy: Path, arguments: argparse.Namespace) -> bool:
    """Measure servers under load, print, and return whether the limits are met."""
    async with (
        serving(folder / "few", toy) as one,
        serving(folder / "many", toy) as other,
        clients(one) as few_clients,
        clients(other) as many_clients,
    ):
        few = [User(few_clients, number, arguments.seed) for number in range(SATURATING)]
        many = [User(many_clients, number, arguments.seed) for number in range(arguments.users)]
        memory = await idle_memory(other, many)
        rate = await saturation(few, arguments) / 2
        times = await growth(few[:FEW], many, rate, arguments.seconds)
        for each in (few_clients, many_clients):
            await end_containers(each)
    print(cost(arguments.price, rate, arguments.thinking, memory))
    done = met(
        f"p95 of a turn, {len(many)} users / {FEW} users at the same total rate", times, GROWTH, "times"
    )
    return met("memory of the server for each idle session", memory, KILOBYTES, "kB") and done


async def measure(arguments: argparse.Namespace) -> bool:
    """Measure everything, print it, and return whether all limits are met."""
    with tempfile.TemporaryDirectory(prefix="agent-kernel-hub-") as name:
        folder = Path(name)
        toy = toy_backend(folder / "toy")
        done = await load(folder, toy, arguments)
        empty, large = await crash.starts(folder, toy, STORED, 3 if arguments.quick else 7)
        print(f"start after a crash: empty store {empty:.2f} s, {STORED:,} stored responses {large:.2f} s")
        return (
            met(f"start after a crash, {STORED:,} responses / none", large / empty, SLOWER, "times") and done
        )


def main() -> None:
    """Exit with 1 if a limit is exceeded."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--users", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=60, help="of each of the three phases")
    parser.add_argument(
        "--thinking", type=float, default=60, help="seconds between two turns of a person, for the cost"
    )
    parser.add_argument("--price", type=float, default=0.10, help="of the machine, for an hour")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="100 users and phases of 10 seconds")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.users, arguments.seconds = 100, 10.0
    raise SystemExit(0 if asyncio.run(measure(arguments)) else 1)


if __name__ == "__main__":
    main()
