"""The environment of a shell entry in a request's `tools`: where its commands run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent_kernel.errors import InvalidRequest
from agent_kernel.tools.base import Environment

Json = Mapping[str, Any]


def with_environment(spec: Json, where: str) -> Json:
    """Return an entry with the older field `container` rewritten as `environment`.

    `{"container": {"type": "auto", ...}}` becomes `{"environment": {"type": "container_auto", ...}}`; null
    means absent. Raises `InvalidRequest` for another container, and for an entry with both fields.
    """
    given = spec.get("container")
    rest = {name: value for name, value in spec.items() if name != "container"}
    if given is None:
        return rest
    where += ".container"
    if spec.get("environment") is not None:
        raise InvalidRequest("A shell tool has environment or container, not both.", param=where)
    if not isinstance(given, Mapping) or given.get("type") != "auto":
        raise InvalidRequest(
            f"{where} must be an object with the type auto.",
            hint="To name a container: environment = {'type': 'container_reference', 'container_id': ...}.",
            param=where,
        )
    return {**rest, "environment": {**given, "type": "container_auto"}}


def read_environment(given: object, index: int, field: str = "environment") -> Environment:
    """Check the `environment` of entry number `index` of `tools`. Raises `InvalidRequest`.

    Absent and null mean `container_auto`. `field` is the one that the request has, for errors.
    """
    where = f"tools[{index}].environment"
    if given is None:  # absent: this server has sandboxes, so the commands run in one
        given = {"type": "container_auto"}
    if not isinstance(given, Mapping):
        raise InvalidRequest(f"{where} must be an object.", param=where)
    match given.get("type"):
        case "container_auto":
            return Environment("auto", index, params=given, field=field)
        case "container_reference":
            container_id = given.get("container_id")
            if not isinstance(container_id, str) or not container_id:
                raise InvalidRequest(f"{where}.container_id is missing.", param=where + ".container_id")
            return Environment("reference", index, container_id=container_id)
        case "local":
            return Environment("local", index, params=given)
    raise InvalidRequest(
        f"{where}.type must be container_auto, container_reference or local.", param=where + ".type"
    )
