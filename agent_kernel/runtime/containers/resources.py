"""What a container may use beyond its memory: limits, a named volume, and folders of the host.

A request asks for it in the field `agent_kernel` of `POST /v1/containers` and of a `container_auto`
environment. The operator's settings are the default and the upper bound: a request may ask for less, never
for more. What a backend cannot enforce is refused before anything is made.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from agent_kernel.errors import InvalidRequest, LimitUnavailable
from agent_kernel.protocol.params import CONTAINER_FIELD as FIELD
from agent_kernel.protocol.validation import check
from agent_kernel.sandboxes.base import Backend, SandboxSpec
from agent_kernel.sandboxes.mounts import HostMount


@dataclass(frozen=True)
class Resources:
    """The limits, the volume and the mounts of a container. None: the backend's own default."""

    cpus: float | None = None
    """The most processors."""
    pids: int | None = None
    """The most processes and threads."""
    open_files: int | None = None
    """The most files that one process may have open."""
    disk: int | None = None
    """Bytes by which its root file system may grow."""
    volume: str | None = None
    """The name of the volume that is its workspace, as the client gave it."""
    mounts: tuple[str, ...] = ()
    """Names of folders of the host."""

    @classmethod
    def read(cls, given: Mapping[str, Any] | None) -> Resources:
        """Return the resources in a request that was checked by `protocol.validation`. Null means absent."""
        known = {name: value for name, value in (given or {}).items() if value not in (None, [])}
        mounts = tuple(dict.fromkeys(known.pop("mounts", ())))
        return cls(**known, mounts=mounts)

    @classmethod
    def of_json(cls, text: str) -> Resources:
        """Return the resources that a row or a label holds. Raises `ValueError` if they were damaged."""
        try:
            given = json.loads(text or "{}")
            check("ContainerCreateParams", {FIELD: given})
        except (InvalidRequest, RecursionError) as error:
            raise ValueError(f"not the resources of a container: {error}") from None
        return cls.read(given)

    def given(self) -> dict[str, Any]:
        """Return those that were set, as the API shows them."""
        shown = {name: value for name, value in asdict(self).items() if value not in (None, ())}
        return {**shown, "mounts": list(self.mounts)} if self.mounts else shown

    def listed(self) -> list[str]:
        """Return those that were set as `name=value`, for the audit log."""
        return [f"{name}={value}" for name, value in self.given().items()]

    def as_json(self) -> str:
        """Return the form for a row or a label."""
        return json.dumps(self.given())


_NEEDS = {
    "cpus": "cpu_limit",
    "pids": "process_limit",
    "open_files": "open_files_limit",
    "disk": "disk_limit",
    "volume": "volumes",
    "mounts": "mounts",
}
"""The flag of `Capabilities` that each one needs."""

_MEANING = {
    "cpus": "limit the number of processors",
    "pids": "limit the number of processes",
    "open_files": "limit the number of open files",
    "disk": "limit disk space",
    "volume": "keep a named volume",
    "mounts": "mount folders of the host",
}

_VARIABLES = {name: f"AGENT_KERNEL_{name.upper()}" for name in ("cpus", "pids", "open_files", "disk")}


@dataclass(frozen=True)
class Allowed:
    """What the operator allows. `bounds` are default and upper bound; None in them: no bound."""

    bounds: Resources = field(default_factory=Resources)
    volumes: bool = False
    """Whether requests may name volumes, which stay until the operator removes them."""
    mounts: Mapping[str, HostMount] = field(default_factory=dict)
    private: tuple[Path, ...] = ()
    """Folders that no mount may expose."""

    async def resolve(self, asked: Resources, backend: Backend) -> Resources:
        """Return what a new container gets.

        Raises `InvalidRequest` for more than the operator allows and for what the backend cannot enforce,
        `LimitUnavailable` if the backend cannot enforce the operator's own bound, `ConfigurationError` for a
        mount that cannot be used any more.
        """
        wanted = asked
        for name, variable in _VARIABLES.items():
            bound, value = getattr(self.bounds, name), getattr(asked, name)
            if bound is not None and value is not None and value > bound:
                raise InvalidRequest(
                    f"{FIELD}.{name} may be at most {bound} here.",
                    hint=f"Ask for less, or have the operator raise {variable}.",
                    param=f"{FIELD}.{name}",
                )
            wanted = replace(wanted, **{name: bound if value is None else value})
        self._check_names(asked)
        if wanted.disk is not None and not backend.capabilities().disk_limit:
            await backend.probe()  # some backends know only after they have looked at their engine
        _check_abilities(asked, wanted, backend)
        return wanted

    def within(self, earlier: Resources) -> Resources:
        """Return an earlier container's resources within today's bounds, and without its volume."""
        capped = {
            name: min(value, bound)
            for name in _VARIABLES
            if (value := getattr(earlier, name)) is not None
            and (bound := getattr(self.bounds, name)) is not None
        }
        return replace(earlier, volume=None, **capped)

    def _check_names(self, asked: Resources) -> None:
        if asked.volume is not None and not self.volumes:
            raise InvalidRequest(
                "This server has no named volumes.",
                hint="Leave volume out, or have the operator set AGENT_KERNEL_VOLUMES=true.",
                param=f"{FIELD}.volume",
            )
        self.host_mounts(asked)

    def host_mounts(self, resources: Resources) -> tuple[HostMount, ...]:
        """Return the folders to mount, as they are now.

        Raises `InvalidRequest` for a name that is not allowed (any more), `ConfigurationError` for a folder
        that cannot be used.
        """
        for name in resources.mounts:
            if name not in self.mounts:
                known = ", ".join(sorted(self.mounts)) or "none"
                raise InvalidRequest(
                    f"There is no mount {name!r} here. Available mounts: {known}.",
                    hint="The operator names them in AGENT_KERNEL_MOUNTS.",
                    param=f"{FIELD}.mounts",
                )
        found = tuple(self.mounts[name] for name in resources.mounts)
        for mount in found:
            mount.check(self.private)
        return found


def _check_abilities(asked: Resources, wanted: Resources, backend: Backend) -> None:
    able = backend.capabilities()
    for name, flag in _NEEDS.items():
        if getattr(wanted, name) in (None, ()) or getattr(able, flag):
            continue
        text = f"The {backend.name} sandbox cannot {_MEANING[name]} here."
        if getattr(asked, name) in (None, ()):
            raise LimitUnavailable(
                text, hint=f"Unset {_VARIABLES[name]}, or use another AGENT_KERNEL_SANDBOX."
            )
        raise InvalidRequest(
            text, hint=f"Leave {name} out, or use another AGENT_KERNEL_SANDBOX.", param=f"{FIELD}.{name}"
        )


def shown(text: str) -> dict[str, Any]:
    """Return the resources in a row as the API shows them; nothing if they were damaged."""
    try:
        return Resources.of_json(text).given()
    except ValueError:
        return {}


def with_resources(
    spec: SandboxSpec, resources: Resources, mounts: tuple[HostMount, ...], owner: str
) -> SandboxSpec:
    """Return `spec` with these resources. Volumes of different `owner`s never meet."""
    return replace(
        spec,
        cpus=resources.cpus,
        pids=resources.pids or spec.pids,
        open_files=resources.open_files or spec.open_files,
        disk=resources.disk,
        volume=None if resources.volume is None else scoped(resources.volume, owner),
        mounts=mounts,
    )


def scoped(volume: str, owner: str) -> str:
    """Return the backend's name of a volume: the client's name, and a digest that tells owners apart."""
    return f"{volume}.{hashlib.sha256(owner.encode()).hexdigest()[:16]}"


def owner_of(store: str, tenant: str) -> str:
    """Return the owner of a tenant's volumes in the store with the identity `store`."""
    return f"{store}\0{tenant}"
