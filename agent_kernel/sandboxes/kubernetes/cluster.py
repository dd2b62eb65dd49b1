"""The connection to a cluster's API server, by the official client, and its errors in words."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from agent_kernel.errors import ConfigurationError, EngineUnavailable, SandboxError
from agent_kernel.sandboxes.kubernetes.settings import KubernetesSettings

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientWebSocketResponse
    from kubernetes.aio.client import ApiClient

SECONDS = 30.0
"""How long an answer may take."""

OLDEST = (1, 19)
"""The oldest version of an API server that knows all fields of our pods."""

_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_VERBS = {"GET": "get", "POST": "create", "DELETE": "delete", "WATCH": "watch", "CONNECT": "create and get"}
_DENIED = re.compile(r'cannot (\w+) resource "([^"]+)" in API group "([^"]*)"')
"""What the API server says of a missing right: apiserver's endpoints/handlers/responsewriters/errors.go."""
_PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
_NO_CLIENT = "The package kubernetes is missing."
_INSTALL = 'pip install "jupyter-agent-kernel[kubernetes]"'

Json = dict[str, Any]


class ApiRefusal(Exception):
    """The API server refused a request. `status` is the HTTP status, `reason` the API's word for it."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message


class Cluster:
    """One API server, found and connected to at the first request."""

    def __init__(self, settings: KubernetesSettings) -> None:
        self._settings = settings
        self._api: ApiClient | None = None
        self._namespace = settings.namespace
        self._connecting = asyncio.Lock()

    @property
    def namespace(self) -> str:
        """The namespace of sandboxes; empty before the first request, unless it was set."""
        return self._namespace

    async def connect(self) -> None:
        """Find the API server, as `kubectl` would, or by the account of the pod that this process runs in.

        Raises `EngineUnavailable` for a missing package or configuration.
        """
        async with self._connecting:
            if self._api is None:
                self._api = await self._find()

    async def _find(self) -> ApiClient:
        try:
            from kubernetes.aio import config
            from kubernetes.aio.client import ApiClient, Configuration
        except ImportError as error:
            raise EngineUnavailable(_NO_CLIENT, hint=_INSTALL) from error
        found = Configuration()
        try:
            path = self._settings.kubeconfig or _home(config.KUBE_CONFIG_DEFAULT_LOCATION)
            if self._is_inside(path):
                config.load_incluster_config(found)
                namespace = (_ACCOUNT / "namespace").read_text().strip()
            else:
                loader = await config.load_kube_config(path, self._settings.context or None, found)
                namespace = loader.current_context.get("context", {}).get("namespace", "default")
        except (config.ConfigException, OSError, ValueError, KeyError) as error:
            raise EngineUnavailable(
                f"No Kubernetes cluster is configured: {error}",
                hint="Point KUBECONFIG at a configuration with which kubectl works.",
            ) from error
        self._namespace = self._namespace or namespace
        return ApiClient(found)

    def _is_inside(self, kubeconfig: str) -> bool:
        outside = self._settings.context or self._settings.kubeconfig or os.path.exists(kubeconfig)
        return not outside and _ACCOUNT.is_dir()

    async def check_version(self) -> None:
        """Raise `EngineUnavailable` for a server that would drop the seccomp profile of a pod in silence.

        See https://kubernetes.io/docs/reference/node/seccomp (its field came with 1.19).
        """
        await self.connect()
        async with self._request("GET", "/version", None, {}) as response:
            answer = await self._read(response)
        if response.status >= 400:
            refusal = ApiRefusal(response.status, str(answer.get("reason")), str(answer.get("message")))
            raise _without_version(refusal) from refusal
        version = str(answer.get("gitVersion"))
        found = re.match(r"v(\d+)\.(\d+)", version)
        if found is None or (int(found[1]), int(found[2])) < OLDEST:
            raise EngineUnavailable(
                f"The Kubernetes API is of version {version}; sandboxes need 1.{OLDEST[1]} or newer.",
                hint="An older one ignores what confines a pod. Upgrade the cluster, or choose another.",
            )

    def path(self, kind: str, name: str = "") -> str:
        """Return the path of a kind of object in our namespace, or of one object."""
        group = "apis/networking.k8s.io/v1" if kind == "networkpolicies" else "api/v1"
        return f"/{group}/namespaces/{self._namespace}/{kind}" + (f"/{name}" if name else "")

    async def ask(
        self, method: str, kind: str, name: str = "", body: Json | None = None, **query: str
    ) -> Json:
        """Ask the API server about objects of a kind, or one of them, and return its answer.

        Raises `ApiRefusal` for what only the caller understands (404, 409, 422, and 403 for a quota),
        `EngineUnavailable` for no answer, for missing rights and for an account that is not accepted.
        """
        await self.connect()
        async with self._request(method, self.path(kind, name), body, query) as response:
            answer = await self._read(response)
        if response.status < 400:
            return answer
        refusal = ApiRefusal(response.status, str(answer.get("reason")), str(answer.get("message")))
        raise _translated(refusal, method, kind, self._namespace) from refusal

    async def watch(self, kind: str, name: str, seconds: float, since: str = "") -> AsyncIterator[Json]:
        """Yield the events of an object for so many seconds at most, the first with it as it is.

        With the version `since`, those that came after it.

        See https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes.
        Raises as `ask`.
        """
        await self.connect()
        query = {
            "watch": "true",
            "fieldSelector": f"metadata.name={name}",
            "timeoutSeconds": f"{seconds:.0f}",
        }
        async with self._request("GET", self.path(kind), None, query, seconds + SECONDS) as response:
            if response.status >= 400:
                answer = await self._read(response)
                refusal = ApiRefusal(response.status, str(answer.get("reason")), str(answer.get("message")))
                raise _translated(refusal, "WATCH", kind, self._namespace) from refusal
            async for line in response.content:
                event = json.loads(line)
                yield event

    @asynccontextmanager
    async def _request(
        self, method: str, path: str, body: Json | None, query: Mapping[str, str], seconds: float = SECONDS
    ) -> AsyncIterator[ClientResponse]:
        from aiohttp import ClientError

        assert self._api is not None  # noqa: S101 (for the type checker: `connect` comes first)
        url, headers = await self._serialized(method, path, [*query.items()], body, "application/json")
        try:
            found = await self._api.rest_client.request(
                method, url, headers=headers, body=body, _request_timeout=seconds
            )
            response: ClientResponse = found.response
            async with response:
                yield response
        except EngineUnavailable:  # an OSError, too: what the reader of the answer says
            raise
        except (ClientError, TimeoutError, OSError) as error:
            raise self._unreachable(error) from error

    async def _serialized(
        self,
        method: str,
        path: str,
        query: list[tuple[str, str]],
        body: Json | None = None,
        accept: str = "*/*",
    ) -> tuple[str, dict[str, str]]:
        assert self._api is not None  # noqa: S101
        headers: dict[str, str] = {"Accept": accept}
        _, url, headers, _, _ = await self._api.param_serialize(
            method, path, header_params=headers, auth_settings=["BearerToken"], body=body
        )
        return url + (f"?{urlencode(query)}" if query else ""), headers

    @staticmethod
    async def _read(response: ClientResponse) -> Json:
        text = await response.read()
        try:
            found = json.loads(text)
        except ValueError:
            found = None
        if isinstance(found, dict):
            return found
        if response.status < 400:
            raise EngineUnavailable("The Kubernetes API answered with something that is no JSON object.")
        return {"reason": "", "message": text[:200].decode(errors="replace").strip()}

    def _unreachable(self, error: BaseException) -> EngineUnavailable:
        assert self._api is not None  # noqa: S101
        why = str(error) or type(error).__name__
        return EngineUnavailable(
            f"The Kubernetes API at {self._api.configuration.host} does not answer: {why}.",
            hint="Check that kubectl works from here, then try again.",
        )

    async def exec(self, pod: str, container: str, argv: Sequence[str]) -> ClientWebSocketResponse:
        """Start a program in a pod and return the WebSocket with its input and output.

        Raises `ApiRefusal` for a pod that is gone or does not run, `EngineUnavailable`, and `SandboxError`
        for a server or proxy that does not speak a protocol of ours. See
        https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/ (connect exec).
        """
        from aiohttp import ClientError, WSServerHandshakeError

        await self.connect()
        assert self._api is not None  # noqa: S101
        query = [("container", container), ("stdin", "1"), ("stdout", "1"), ("stderr", "1")]
        query += [("command", word) for word in argv]
        url, headers = await self._serialized("GET", self.path("pods", f"{pod}/exec"), query)
        rest = self._api.rest_client
        if rest.pool_manager is None:
            rest.pool_manager = rest._create_pool_manager()
        try:
            socket = await rest.pool_manager.ws_connect(
                url, headers=headers, protocols=_PROTOCOLS, max_msg_size=0, compress=0
            )
        except WSServerHandshakeError as error:
            refusal = ApiRefusal(error.status, "", error.message)
            raise _translated(refusal, "CONNECT", "pods/exec", self._namespace) from error
        except (ClientError, TimeoutError, OSError) as error:
            raise self._unreachable(error) from error
        if socket.protocol not in _PROTOCOLS:
            await socket.close()
            raise SandboxError(
                f"The Kubernetes API agreed on the protocol {socket.protocol!r} for exec, which is not ours.",
                hint="A proxy in between may remove Sec-WebSocket-Protocol; reach the API server without it.",
            )
        return socket

    async def aclose(self) -> None:
        """Close the connections. Idempotent."""
        if self._api is not None:
            api, self._api = self._api, None
            await api.close()


def _home(path: str) -> str:
    return os.path.expanduser(path)


def _without_version(refusal: ApiRefusal) -> Exception:
    """Return the error for a server that does not tell its version."""
    if refusal.status == 403:
        return EngineUnavailable(
            "This account may not get the version of the Kubernetes API.",
            hint="The ClusterRole system:public-info-viewer grants it; bind the account to it.",
        )
    error = _translated(refusal, "GET", "version", "")
    return (
        error
        if isinstance(error, EngineUnavailable)
        else EngineUnavailable(
            f"The Kubernetes API does not tell its version: {refusal.message} (HTTP {refusal.status}).",
            hint="Check that the server in the kubeconfig is an API server.",
        )
    )


def _translated(refusal: ApiRefusal, method: str, kind: str, namespace: str) -> Exception:
    """Return the error for a refusal that has one cause only; otherwise the refusal itself."""
    if refusal.status == 401:
        return EngineUnavailable(
            "The Kubernetes API does not accept this account (HTTP 401).",
            hint="Renew the credentials in the kubeconfig; kubectl auth whoami tells which they are.",
        )
    if refusal.status == 403 and "exceeded quota" not in refusal.message:
        said = _DENIED.search(refusal.message)
        if method != "CONNECT" and refusal.message and said is None and "cannot" not in refusal.message:
            return refusal  # an admission rule, not a right
        group = "networking.k8s.io" if kind == "networkpolicies" else ""
        verb, kind, group = said.groups() if said else (_VERBS[method], kind, group)
        verbs = json.dumps(verb.split(" and "))  # which of the two a connection takes depends on the server
        rule = f'{{apiGroups: ["{group}"], resources: ["{kind}"], verbs: {verbs}}}'
        return EngineUnavailable(
            f"This account may not {verb} {kind} in the namespace {namespace}.",
            hint=f"Add this rule to its Role there: {rule}",
        )
    if refusal.status == 404 and "namespaces" in refusal.message:
        return ConfigurationError(
            f"The cluster has no namespace {namespace}.",
            hint=f"kubectl create namespace {namespace}, or correct `namespace` in the backend's settings.",
        )
    if refusal.status >= 500 or refusal.status == 429:
        return EngineUnavailable(
            f"The Kubernetes API failed: {refusal.message} (HTTP {refusal.status}).", hint="Try again later."
        )
    return refusal
