"""Sandboxes in pods: a warm command, and the way from nothing to the first command's answer.

    .ci/kubernetes python -m benchmarks.kubernetes [--runs 100] [--starts 7]

Beside them, in the same run: the same command over an open `docker exec -i`, `kubectl exec` as people do it,
and the start of the same pod with `sleep` in it, until the cluster says that it runs. What is compared takes
turns. What counts are the ratios; the figures are medians.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

from agent_kernel.sandboxes.base import SandboxSpec
from agent_kernel.sandboxes.channel import Channel
from agent_kernel.sandboxes.kubernetes import manifests, pods
from agent_kernel.sandboxes.kubernetes.backend import KubernetesBackend
from agent_kernel.sandboxes.kubernetes.cluster import Cluster
from agent_kernel.sandboxes.kubernetes.settings import KubernetesSettings
from benchmarks.sandboxes.contenders import program
from benchmarks.sandboxes.floors import BarePipeInDocker

WARM_UP = 10
WARM_LIMIT = 3.0
START_LIMIT = 1.2
STREAM, POD, KUBECTL = "docker exec -i, open", "pod, warm", "kubectl exec"
PLAIN, FIRST = "pod's own start", "start to first command"
SETTINGS = KubernetesSettings(accept_open_network=True)


async def timed(once: Callable[[], Awaitable[object]]) -> float:
    """Return how long `once` takes, in milliseconds."""
    start = time.perf_counter()
    await once()
    return (time.perf_counter() - start) * 1000


async def warm(runs: int, contenders: Mapping[str, Callable[[], Awaitable[object]]]) -> dict[str, float]:
    """Return the median duration of each contender after a warm-up, in milliseconds. They take turns."""
    for _ in range(WARM_UP):
        for once in contenders.values():
            await once()
    took = [{name: await timed(once) for name, once in contenders.items()} for _ in range(runs)]
    return {name: statistics.median(each[name] for each in took) for name in contenders}


async def true_by(channel: Channel) -> None:
    """Run a command that does nothing."""
    async for _ in channel.run("/bin/true"):
        pass


@asynccontextmanager
async def docker_stream() -> AsyncIterator[BarePipeInDocker]:
    """A bash over an open `docker exec -i`."""
    floor = BarePipeInDocker()
    await floor.start()
    try:
        yield floor
    finally:
        await floor.stop()
        await floor.aclose()


async def warm_commands(backend: KubernetesBackend, runs: int) -> dict[str, float]:
    """`/bin/true` through boxd in a pod, over `docker exec -i`, and by `kubectl exec` into the same pod."""
    ref = await backend.create(SandboxSpec(f"bench-{time.time_ns()}"))
    try:
        async with docker_stream() as docker:
            channel = await Channel.open(await backend.stream(ref))
            try:
                streams = {STREAM: lambda: docker.run("/bin/true"), POD: lambda: true_by(channel)}
                argv = ("kubectl", "exec", manifests.object_name(ref.id), "--", "/bin/true")
                return {
                    **await warm(runs, streams),
                    **await warm(max(10, runs // 10), {KUBECTL: lambda: program(*argv)}),
                }
            finally:
                await channel.aclose()
    finally:
        await backend.delete(ref)


async def first_command(backend: KubernetesBackend) -> float:
    """From nothing to the first command's answer."""
    start = time.perf_counter()
    ref = await backend.create(SandboxSpec(f"bench-{time.time_ns()}"))
    try:
        channel = await Channel.open(await backend.stream(ref))
        await true_by(channel)
        took = (time.perf_counter() - start) * 1000
        await channel.aclose()
        return took
    finally:
        await backend.delete(ref)


async def plain_pod(cluster: Cluster, backend: KubernetesBackend) -> float:
    """From nothing to a running container: the same claim and pod, without boxd."""
    spec = SandboxSpec(f"bench-{time.time_ns()}")
    name = manifests.object_name(spec.id)
    boxd = await backend._prepare()
    pod = manifests.pod(spec, SETTINGS, image=backend.image, runtime_class="", program=boxd, claim=name)
    pod["spec"]["containers"][0]["command"] = ["sleep", "600"]
    ref = pods.reference({**pod, "status": {}})

    async def start() -> None:
        await cluster.ask("POST", "persistentvolumeclaims", body=manifests.claim(name, SETTINGS, {}))
        await cluster.ask("POST", "pods", body=pod)
        async for event in cluster.watch("pods", name, 60):
            if pods.is_up(event["object"]):
                return
        raise TimeoutError(f"{name} did not start")

    try:
        return await timed(start)
    finally:
        await backend.delete(ref)


async def measure(runs: int, starts: int) -> dict[str, float]:
    """Return all medians by name, in milliseconds."""
    backend = KubernetesBackend(os.environ["AGENT_KERNEL_IMAGE"], None, SETTINGS)
    cluster = Cluster(SETTINGS)
    try:
        found = await warm_commands(backend, runs)
        pairs = [(await plain_pod(cluster, backend), await first_command(backend)) for _ in range(starts)]
        found[PLAIN] = statistics.median(plain for plain, _ in pairs)
        found[FIRST] = statistics.median(ours for _, ours in pairs)
        return found
    finally:
        await cluster.aclose()
        await backend.aclose()


def verdict(words: str, ratio: float, limit: float) -> str:
    """Return a line with a ratio and whether it is within its limit."""
    return f"{words:<48}{ratio:8.2f} x   <= {limit:g} x   {'MET' if ratio <= limit else 'NOT MET'}"


def main() -> int:
    """Print the medians and the ratios. Return 1 if a limit is not met."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--starts", type=int, default=7)
    options = parser.parse_args()
    found = asyncio.run(measure(options.runs, options.starts))
    for name, value in found.items():
        print(f"{name:<48}{value:8.2f} ms")
    ratios = {
        f"{POD} / {STREAM}": (found[POD] / found[STREAM], WARM_LIMIT),
        f"{FIRST} / {PLAIN}": (found[FIRST] / found[PLAIN], START_LIMIT),
    }
    for words, (ratio, limit) in ratios.items():
        print(verdict(words, ratio, limit))
    print(f"{f'{KUBECTL} / {POD}':<48}{found[KUBECTL] / found[POD]:8.2f} x")
    return int(any(ratio > limit for ratio, limit in ratios.values()))


if __name__ == "__main__":
    sys.exit(main())
