"""Tests from inside a pod whether the cluster enforces its NetworkPolicy. Many accept one and do not.

https://kubernetes.io/docs/concepts/services-networking/network-policies/ (prerequisites).
"""

from __future__ import annotations

import json

from agent_kernel.errors import IsolationUnavailable
from agent_kernel.sandboxes.kubernetes.cluster import Cluster
from agent_kernel.sandboxes.kubernetes.manifests import CONTAINER, PYTHON
from agent_kernel.sandboxes.kubernetes.stream import ExecStream

_TEST = """\
import json, os, socket, sys, time

targets = json.loads(sys.argv[1])
service = os.environ.get("KUBERNETES_SERVICE_HOST")
if service:
    targets.append([service, int(os.environ.get("KUBERNETES_SERVICE_PORT", "443"))])

def answers(host, port):
    # A refusal is an answer: the packet went out, and one came back.
    try:
        socket.create_connection((host, port), 1).close()
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return True

open_ones = targets
for attempt in range(5):  # a new pod's policy may need a moment
    open_ones = [each for each in open_ones if answers(*each)]
    if not open_ones:
        break
    time.sleep(1)
print(json.dumps(open_ones))
"""

_KUBELET = 10250


async def check_isolation(cluster: Cluster, pod: str) -> None:
    """Try to connect from inside to the node and to the API server.

    Raises `IsolationUnavailable` if either answers, or if the test itself fails.
    """
    found = await cluster.ask("GET", "pods", pod)
    targets = [[found["status"]["hostIP"], _KUBELET]]
    socket = await cluster.exec(pod, CONTAINER, [PYTHON, "-I", "-c", _TEST, json.dumps(targets)])

    async def ended() -> None:
        """The end of this program says nothing about the pod."""

    stream = ExecStream(socket, ended)
    said = b""
    try:
        while piece := await stream.read(1 << 16):
            said += piece
    finally:
        await stream.aclose()
    try:
        reached = [f"{host}:{port}" for host, port in json.loads(said)]
    except (ValueError, TypeError) as error:
        raise IsolationUnavailable(
            f"Whether pods are cut off from the network could not be tested: {stream.complaint or said!r}."
        ) from error
    if reached:
        raise IsolationUnavailable(
            f"This cluster does not enforce network policies: a sandbox reached {' and '.join(reached)}.",
            hint="Install a network plugin that enforces them, or accept the risk: accept_open_network: true "
            "in the backend's settings.",
        )
