"""Sandboxes in pods: one pod each, its workspace on a claim, boxd reached through `pods/exec`."""

from __future__ import annotations

import asyncio
import base64
import builtins
import contextlib
import hashlib
import re
from collections.abc import Mapping
from typing import Any

from agent_kernel.errors import (
    ConfigurationError,
    EngineUnavailable,
    InvalidRequest,
    LimitReached,
    LimitUnavailable,
    SandboxError,
    SandboxGone,
    SandboxStartFailed,
    SandboxUnreachable,
)
from agent_kernel.sandboxes import launch
from agent_kernel.sandboxes.base import (
    MANAGED_LABEL,
    ByteStream,
    Capabilities,
    Probe,
    SandboxRef,
    SandboxSpec,
)
from agent_kernel.sandboxes.kubernetes import manifests, pods
from agent_kernel.sandboxes.kubernetes.cluster import ApiRefusal, Cluster
from agent_kernel.sandboxes.kubernetes.isolation import check_isolation
from agent_kernel.sandboxes.kubernetes.settings import KubernetesSettings
from agent_kernel.sandboxes.kubernetes.stream import ExecStream
from agent_kernel.sandboxes.kubernetes.volumes import ClaimVolumes
from agent_kernel.sandboxes.near.uninterrupted import to_the_end
from agent_kernel.sandboxes.optional import Volume

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_READY_SECONDS = 60.0
_END_SECONDS = 180.0
_DYING_SECONDS = 5.0
_GRACE = "1"
"""The seconds that a pod has to end itself."""
_SELECTOR = ",".join(f"{name}={value}" for name, value in manifests.MANAGED.items())


class KubernetesBackend:
    """A `Backend` on the cluster of the kubeconfig, or of the pod that this process runs in.

    `image` must hold python3 (3.8 or newer) and bash, and is pulled by the nodes. `runtime_class` names a
    RuntimeClass of the cluster; None takes the nodes' default.
    """

    name = pods.NAME

    def __init__(self, image: str, runtime_class: str | None, settings: KubernetesSettings) -> None:
        self.image = image
        self._runtime_class = runtime_class
        self._settings = settings
        self._cluster = Cluster(settings)
        self._volumes = ClaimVolumes(self._cluster, settings)
        self._first: dict[str, ExecStream] = {}
        self._prepared: str | None = None
        self._isolated = settings.accept_open_network
        self._preparing = asyncio.Lock()

    async def probe(self) -> Probe:
        """Check whether the API server answers, this account has its rights, and the namespace exists."""
        try:
            await self._prepare()
            await self._cluster.ask("GET", "pods", limit="1")
        except (SandboxError, ConfigurationError) as error:
            return Probe(False, error.message, error.hint)
        kind = self._runtime_class or "the nodes' default runtime"
        network = " Its network policies are not checked." if self._settings.accept_open_network else ""
        return Probe(True, f"Namespace {self._cluster.namespace}, {kind}, image {self.image}.{network}")

    async def create(self, spec: SandboxSpec) -> SandboxRef:
        """Make the claim and the pod, and wait until boxd listens; see `Backend.create`.

        Also raises `ConfigurationError` for a namespace that does not exist, and `LimitReached` for a quota.
        """
        self._check(spec)
        program = await self._prepare()
        claim = await self._claim(spec)
        manifest = manifests.pod(
            spec,
            self._settings,
            image=self.image,
            runtime_class=self._runtime_class or "",
            program=program,
            claim=claim,
        )
        ref = SandboxRef(spec.id, self.name, "running", {**spec.labels, MANAGED_LABEL: "1"})
        made, started = True, False  # a request that is cut short may have made it
        try:
            try:
                await self._cluster.ask("POST", "pods", body=manifest)
            except ApiRefusal as error:
                made = False
                raise _not_created(error) from error
            await self._started(spec.id)
            started = True
            self._first[spec.id] = stream = await self._attach(spec.id)
            await self._listening(stream)
            await self._check_isolation(spec.id)
        except BaseException:
            if made:
                undo = self._delete(ref, _GRACE if started else "0")
            else:
                undo = self._remove("persistentvolumeclaims", manifests.object_name(ref.id))
            await to_the_end(undo)
            raise
        return ref

    def _check(self, spec: SandboxSpec) -> None:
        if not _ID.fullmatch(spec.id):
            raise InvalidRequest(f"{spec.id!r} is not a valid sandbox id.")
        spec.check()
        if spec.disk is not None:
            raise LimitUnavailable("Pods have no limit on their root file system.", hint="Leave disk out.")
        if spec.snapshot is not None:
            raise SandboxGone(f"There is no checkpoint {spec.snapshot}: pods have none.")
        if spec.mounts:
            raise LimitUnavailable("Pods mount no folders of the host.", hint="Leave mounts out.")

    async def _prepare(self) -> str:
        """Make what all sandboxes share, once: the policy and the map with boxd. Return the map's name."""
        async with self._preparing:
            if self._prepared is None:
                await self._cluster.check_version()
                await self._ensure("networkpolicies", manifests.network_policy(), "spec")
                program = launch.program()
                name = f"{manifests.PREFIX}boxd-{hashlib.sha256(program).hexdigest()[:16]}"
                content = base64.b64encode(program).decode()
                await self._ensure("configmaps", manifests.program_map(name, content), "binaryData")
                self._prepared = name
        return self._prepared

    async def _ensure(self, kind: str, manifest: manifests.Manifest, part: str) -> None:
        """Make an object unless it is there. Raises `SandboxError` if the one that is there differs."""
        try:
            await self._cluster.ask("POST", kind, body=manifest)
        except ApiRefusal as error:
            if error.status != 409:
                raise _not_created(error) from error
            name = manifest["metadata"]["name"]
            found = await self._cluster.ask("GET", kind, name)
            if found.get(part) != manifest[part]:
                raise SandboxError(
                    f"{kind}/{name} in the namespace {self._cluster.namespace} was changed.",
                    hint=f"Look who has changed it, then: kubectl delete {kind} {name}",
                ) from error

    async def _claim(self, spec: SandboxSpec) -> str:
        """Make the claim for a workspace and return its name; empty for a workspace without one."""
        if spec.volume is not None:
            return await self._volumes.ensure(spec.volume)
        if not self._settings.claims:
            return ""
        name = manifests.object_name(spec.id)
        try:
            await self._cluster.ask(
                "POST", "persistentvolumeclaims", body=manifests.claim(name, self._settings, {})
            )
        except ApiRefusal as error:
            raise _not_created(error) from error
        return name

    async def _started(self, id: str) -> None:  # noqa: A002 (the field's own word)
        """Wait until the pod's container runs. Raises `ImageMissing`, `SandboxStartFailed`."""
        name = manifests.object_name(id)
        pod: pods.Json | None = None
        seconds = self._settings.start_seconds
        try:
            async with asyncio.timeout(seconds):
                while True:
                    async for event in self._cluster.watch("pods", name, seconds):
                        pod = event["object"]
                        if event["type"] == "DELETED":
                            raise SandboxStartFailed(f"The pod {name} was deleted while it started.")
                        pods.check_start(pod, self.image)
                        if pods.is_up(pod):
                            return
        except TimeoutError:
            reason = pods.why_pending(pod) if pod is not None else "the cluster does not know it"
            raise SandboxStartFailed(
                f"The pod {name} did not start within {seconds} s: {reason}.",
                hint="Free or add what it needs, or raise start_seconds in the backend's settings.",
            ) from None

    async def _attach(self, id: str) -> ExecStream:  # noqa: A002
        argv = manifests.attach_argv()

        async def why() -> None:
            await self._explain(id)

        try:
            socket = await self._cluster.exec(manifests.object_name(id), manifests.CONTAINER, argv)
        except ApiRefusal as error:
            await self._explain(id)
            raise SandboxUnreachable(
                f"The cluster gave no stream into the sandbox {id}: {error.message}."
            ) from error
        return ExecStream(socket, why)

    async def _listening(self, stream: ExecStream) -> None:
        said = b""
        try:
            async with asyncio.timeout(_READY_SECONDS):
                while launch.READY not in said:
                    piece = await stream.read(len(launch.READY) - len(said))
                    if not piece:
                        break
                    said += piece
        except (SandboxGone, SandboxUnreachable) as error:
            reason = stream.complaint or error.message
            raise SandboxStartFailed(f"boxd did not start in {self.image}: {reason}") from error
        except TimeoutError:
            raise SandboxStartFailed(
                f"boxd did not answer within {_READY_SECONDS:.0f} s in {self.image}."
            ) from None

    async def _explain(self, id: str) -> None:  # noqa: A002
        """Raise why a stream has ended: `SandboxGone` if the sandbox has, else `SandboxUnreachable`."""
        try:
            await self._look_for_end(id)
        except EngineUnavailable as error:
            raise SandboxUnreachable(
                f"The connection to the sandbox {id} ended. {error.message}", hint=error.hint
            ) from error
        raise SandboxUnreachable(f"The connection to the sandbox {id} ended, but its pod is still running.")

    async def _look_for_end(self, id: str) -> None:  # noqa: A002
        """Raise `SandboxGone` if the sandbox has ended, or ends within a moment."""
        await self.get(id)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DYING_SECONDS):  # the stream may end before the pod is known as dead
                async for event in self._cluster.watch("pods", manifests.object_name(id), _DYING_SECONDS):
                    pod = event["object"]
                    if event["type"] == "DELETED" or pods.status(pod) == "dead":
                        raise pods.gone(id, None if event["type"] == "DELETED" else pod)
        await self.get(id)

    async def _check_isolation(self, id: str) -> None:  # noqa: A002
        """Test once per process that the policy is enforced. Raises `IsolationUnavailable` if it is not."""
        if not self._isolated:
            await check_isolation(self._cluster, manifests.object_name(id))
            self._isolated = True

    async def get(self, id: str) -> SandboxRef:  # noqa: A002
        """See `Backend.get`."""
        try:
            pod = (
                await self._cluster.ask("GET", "pods", manifests.object_name(id))
                if _ID.fullmatch(id)
                else None
            )
        except ApiRefusal as error:
            if error.status != 404:
                raise SandboxError(f"The cluster refused a request: {error.message}.") from error
            pod = None
        if pod is None or (pod["metadata"].get("annotations") or {}).get(manifests.ID_NOTE) != id:
            raise SandboxGone(f"There is no sandbox {id}: it has expired or was removed.")
        return pods.reference(pod)

    async def list(self, labels: Mapping[str, str] | None = None) -> list[SandboxRef]:
        """See `Backend.list`."""
        found = await self._cluster.ask("GET", "pods", labelSelector=_SELECTOR)
        wanted = (labels or {}).items()
        refs = [pods.reference(pod) for pod in found["items"] if _is_ours(pod)]
        return [ref for ref in refs if wanted <= ref.labels.items()]

    async def stream(self, ref: SandboxRef) -> ByteStream:
        """Return the stream of the start, once, or open another; see `Backend.stream`."""
        return self._first.pop(ref.id, None) or await self._opened(ref.id)

    async def _opened(self, id: str) -> ExecStream:  # noqa: A002
        if (await self.get(id)).status == "dead":
            await self._explain(id)
        stream = await self._attach(id)
        try:
            await self._listening(stream)
        except SandboxStartFailed as error:
            await stream.aclose()
            raise SandboxUnreachable(error.message) from error
        except BaseException:
            await stream.aclose()
            raise
        return stream

    async def delete(self, ref: SandboxRef) -> None:
        """See `Backend.delete`. A claim of its own goes with the pod."""
        await self._delete(ref, _GRACE)

    async def _delete(self, ref: SandboxRef, grace: str) -> None:
        """Delete the pod, and its claim. With no `grace` the API forgets it before its node has ended it.

        A node may take a minute to end what has not started, and nobody needs to wait for that.
        """
        if (stream := self._first.pop(ref.id, None)) is not None:
            await stream.aclose()
        name = manifests.object_name(ref.id)
        await self._remove("pods", name, grace, wait=True)
        await self._remove("persistentvolumeclaims", name)

    async def _remove(self, kind: str, name: str, grace: str = "0", *, wait: bool = False) -> None:
        """Delete an object, and `wait` until it is gone. Raises `SandboxError` if it stays.

        A claim is not waited for: the cluster removes it when the node has let go of its files.
        """
        try:
            await self._cluster.ask("DELETE", kind, name, gracePeriodSeconds=grace)
            if not wait:
                return
            async with asyncio.timeout(_END_SECONDS):
                while True:
                    found = await self._cluster.ask("GET", kind, name)
                    since = found["metadata"]["resourceVersion"]  # or its end could come before the watch
                    async for event in self._cluster.watch(kind, name, _END_SECONDS, since):
                        if event["type"] == "DELETED":
                            return
        except ApiRefusal as error:
            if error.status != 404:
                raise SandboxError(f"The cluster did not delete {kind}/{name}: {error.message}.") from error
        except TimeoutError:
            raise SandboxError(
                f"{kind}/{name} in the namespace {self._cluster.namespace} is still there after "
                f"{_END_SECONDS:.0f} s.",
                hint=f"Look why: kubectl describe {kind} {name}",
            ) from None

    async def volumes(self) -> builtins.list[Volume]:
        """See `Volumes.volumes`."""
        return await self._volumes.list()

    async def remove_volume(self, name: str) -> None:
        """See `Volumes.remove_volume`."""
        await self._volumes.remove(name)

    def capabilities(self) -> Capabilities:
        """Return the capabilities; `isolation` is the RuntimeClass."""
        return Capabilities(
            memory_limit=True,
            process_limit=False,  # `podPidsLimit` of the nodes; a pod cannot ask for it
            isolation=self._runtime_class or "pod",
            cpu_limit=True,
            open_files_limit=True,
            volumes=True,
            network=True,
            survives_out_of_memory=False,
            image=self.image,
        )

    async def aclose(self) -> None:
        """Close the connections; sandboxes live on. Idempotent."""
        for stream in self._first.values():
            await stream.aclose()
        self._first.clear()
        await self._cluster.aclose()


def _is_ours(pod: Mapping[str, Any]) -> bool:
    return manifests.ID_NOTE in (pod["metadata"].get("annotations") or {})


def _not_created(error: ApiRefusal) -> SandboxError | LimitReached | InvalidRequest:
    if "exceeded quota" in error.message:
        return LimitReached(
            f"The namespace's quota is reached: {error.message}.",
            hint="End other sandboxes, or raise the quota.",
        )
    if error.status == 409:
        return InvalidRequest(f"There is such a sandbox already: {error.message}.")
    return SandboxStartFailed(f"The cluster did not take the sandbox: {error.message} (HTTP {error.status}).")
