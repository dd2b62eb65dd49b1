"""`/v1/skills`, and the rows of the table of endpoints for it."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from agent_kernel.errors import InvalidRequest, NotFound
from agent_kernel.runtime.skills.base import EquipsContainers, KeepsSkills, KeptSkills, SkillThere
from agent_kernel.server.endpoint import Endpoint
from agent_kernel.server.pages import answer, deleted, listed, paging, path, runtime_of
from agent_kernel.server.skills.form import read_files
from agent_kernel.server.streams import FileStream
from agent_kernel.server.uploads import read_json


def _skills(request: Request) -> KeptSkills:
    runtime = runtime_of(request)
    if not isinstance(runtime, KeepsSkills):
        raise NotFound("This server keeps no skills.")
    return runtime.skills


async def create_skill(request: Request) -> Response:
    """Keep a skill: one zip archive, or its files."""
    files, _ = await read_files(request)
    return answer(await _skills(request).create(files))


async def list_skills(request: Request) -> Response:
    """List the kept skills."""
    return listed(await _skills(request).list(**paging(request)))


async def retrieve_skill(request: Request) -> Response:
    """Return a skill."""
    return answer(await _skills(request).retrieve(path(request, "skill_id")))


async def update_skill(request: Request) -> Response:
    """Change the default version of a skill."""
    skill_id, params = path(request, "skill_id"), await read_json(request)
    if params.get("default_version") is None:
        raise InvalidRequest("default_version is missing.", param="default_version")
    return answer(await _skills(request).update(skill_id, params))


async def delete_skill(request: Request) -> Response:
    """Delete a skill with all its versions."""
    skill_id = path(request, "skill_id")
    await _skills(request).delete(skill_id)
    return deleted(skill_id, "skill.deleted")


async def skill_content(request: Request) -> Response:
    """Download the default version of a skill as a zip archive."""
    return FileStream(_skills(request).content(path(request, "skill_id")))


async def create_skill_version(request: Request) -> Response:
    """Keep another version of a skill; with `default` it becomes the default one."""
    files, fields = await read_files(request)
    default = fields.get("default", "false").lower()
    if default not in ("true", "false"):
        raise InvalidRequest("default must be true or false.", param="default")
    skill_id = path(request, "skill_id")
    return answer(await _skills(request).add_version(skill_id, files, default=default == "true"))


async def list_skill_versions(request: Request) -> Response:
    """List the versions of a skill."""
    return listed(await _skills(request).versions(path(request, "skill_id"), **paging(request)))


async def retrieve_skill_version(request: Request) -> Response:
    """Return a version of a skill."""
    skill_id, version = path(request, "skill_id"), path(request, "version")
    return answer(await _skills(request).retrieve_version(skill_id, version))


async def delete_skill_version(request: Request) -> Response:
    """Delete a version of a skill; the last one takes the skill along."""
    gone = await _skills(request).delete_version(path(request, "skill_id"), path(request, "version"))
    said = {"id": gone.id, "object": "skill.version.deleted", "deleted": True, "version": gone.version}
    return JSONResponse(said)


async def skill_version_content(request: Request) -> Response:
    """Download a version of a skill as a zip archive."""
    return FileStream(_skills(request).content(path(request, "skill_id"), path(request, "version")))


async def list_offered_skills(request: Request) -> Response:
    """List the operator's skills, which requests name by their names."""
    found = await _equipping(request).offered_skills()
    data = [
        {"object": "agent_kernel.skill", "name": each.name, "description": each.description} for each in found
    ]
    return JSONResponse({"object": "list", "data": data, "has_more": False})


async def list_container_skills(request: Request) -> Response:
    """List the skills in a container, with their folders there."""
    return _listed(await _equipping(request).skills_in(path(request, "container_id")))


async def equip_container(request: Request) -> Response:
    """Let a container have these skills and no others; each as in the request that creates one."""
    given = (await read_json(request)).get("skills")
    if not isinstance(given, list):
        raise InvalidRequest("skills must be a list.", param="skills")
    return _listed(await _equipping(request).equip(path(request, "container_id"), given))


def _listed(found: Sequence[SkillThere]) -> JSONResponse:
    return JSONResponse({"object": "list", "data": [each.to_json() for each in found], "has_more": False})


def _equipping(request: Request) -> EquipsContainers:
    runtime = runtime_of(request)
    if not isinstance(runtime, EquipsContainers):
        raise NotFound("This server does not show the skills of containers.")
    return runtime


_SKILL = "/v1/skills/{skill_id}"
_VERSION = _SKILL + "/versions/{version}"
_CONTAINER = "/v1/containers/{container_id}/agent_kernel/skills"
_PAGE = ("after", "limit", "order")

SKILLS: tuple[Endpoint, ...] = (
    Endpoint("POST", "/v1/skills", create_skill, body="SkillFiles"),
    Endpoint("GET", "/v1/skills", list_skills, "List", query=_PAGE),
    Endpoint("GET", _SKILL, retrieve_skill),
    Endpoint("POST", _SKILL, update_skill, body="SkillUpdateParams"),
    Endpoint("DELETE", _SKILL, delete_skill, "Deleted"),
    Endpoint("GET", _SKILL + "/content", skill_content, "bytes"),
    Endpoint("POST", _SKILL + "/versions", create_skill_version, body="SkillFiles"),
    Endpoint("GET", _SKILL + "/versions", list_skill_versions, "List", query=_PAGE),
    Endpoint("GET", _VERSION, retrieve_skill_version),
    Endpoint("DELETE", _VERSION, delete_skill_version, "Deleted"),
    Endpoint("GET", _VERSION + "/content", skill_version_content, "bytes"),
    Endpoint("GET", "/v1/agent_kernel/skills", list_offered_skills, "List"),
    Endpoint("GET", _CONTAINER, list_container_skills, "List"),
    Endpoint("POST", _CONTAINER, equip_container, "List", "ContainerSkills"),
)
