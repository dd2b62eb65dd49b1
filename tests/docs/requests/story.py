"""The requests of docs/api-requests.md in their order: each endpoint at least once, in groups.

`$name` in a path or a body stands for the id that an earlier answer had, kept under that name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

SKILL = b"---\nname: counting\ndescription: Counts words.\n---\nUse wc.\n"
DIRECT: Mapping[str, Any] = {"model": "agent_kernel/shell"}


@dataclass(frozen=True)
class Step:
    """One request. `file` is (field, name, content) of a multipart form, `form` its other fields."""

    method: str
    path: str
    json: Mapping[str, Any] | None = None
    file: tuple[str, str, bytes] | None = None
    form: Mapping[str, str] | None = None
    keep: str = ""
    """The name for the id of the answer."""
    shown: tuple[str, ...] = ()
    """The fields that are shown of the answer; empty: all."""
    until: str = ""
    """Ask again until the answer has this status; the last answer counts."""


def post(path: str, json: Mapping[str, Any] | None = None, keep: str = "") -> Step:
    return Step("POST", path, json, keep=keep)


def get(path: str, until: str = "") -> Step:
    return Step("GET", path, until=until)


def delete(path: str) -> Step:
    return Step("DELETE", path)


CONTAINER = "/v1/containers/$container"
OURS = f"{CONTAINER}/agent_kernel"
STORE = "/v1/vector_stores/$store"

GROUPS: Mapping[str, Sequence[Step]] = {
    "Containers": [
        post("/v1/containers", {"name": "example"}, "container"),
        get("/v1/containers"),
        get(CONTAINER),
        Step("POST", f"{CONTAINER}/files", file=("file", "data.csv", b"a,b\n1,2\n"), keep="inside"),
        get(f"{CONTAINER}/files"),
        get(f"{CONTAINER}/files/$inside"),
        get(f"{CONTAINER}/files/$inside/content"),
        delete(f"{CONTAINER}/files/$inside"),
        get("/v1/containers/agent_kernel/mounts"),
        get("/v1/containers/agent_kernel/network"),
        get(f"{OURS}/network"),
        post(f"{OURS}/network", {"type": "disabled"}),
        post(f"{OURS}/session", {"ask": "variables"}),
        post(f"{OURS}/reset"),
        post(f"{OURS}/snapshots", {"name": "before"}, "snapshot"),
        get(f"{OURS}/snapshots"),
        post(f"{OURS}/restore", {"snapshot_id": "$snapshot"}),
        post(f"{OURS}/fork", {"snapshot_id": "$snapshot", "name": "other"}, "fork"),
        delete(f"{OURS}/snapshots/$snapshot"),
        delete("/v1/containers/$fork"),
    ],
    "Responses": [
        post("/v1/responses", {**DIRECT, "input": "echo hello", "tools": [{"type": "shell"}]}, "response"),
        get("/v1/responses/$response"),
        get("/v1/responses/$response/input_items"),
        post("/v1/responses/input_tokens", {**DIRECT, "input": "echo hello"}),
        post("/v1/responses/compact", {"model": "scripted/demo", "input": "A long conversation."}),
        post(
            "/v1/responses",
            {**DIRECT, "input": "sleep 60", "tools": [{"type": "shell"}], "background": True},
            "running",
        ),
        post(
            "/v1/responses/$running/agent_kernel/approvals",
            {"type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": True},
        ),
        post("/v1/responses/$running/cancel"),
        delete("/v1/responses/$running"),
    ],
    "Conversations": [
        post("/v1/conversations", {"metadata": {"topic": "birds"}}, "conversation"),
        get("/v1/conversations/$conversation"),
        post("/v1/conversations/$conversation", {"metadata": {"topic": "fish"}}),
        post(
            "/v1/conversations/$conversation/items",
            {"items": [{"type": "message", "role": "user", "content": "Hello."}]},
            "item",
        ),
        get("/v1/conversations/$conversation/items"),
        get("/v1/conversations/$conversation/items/$item"),
        delete("/v1/conversations/$conversation/items/$item"),
        delete("/v1/conversations/$conversation"),
    ],
    "Kept sessions": [
        post("/v1/agent_kernel/sessions", {"name": "churn", "response_id": "$response"}, "session"),
        get("/v1/agent_kernel/sessions"),
        get("/v1/agent_kernel/sessions/$session"),
        delete("/v1/agent_kernel/sessions/$session"),
        post("/v1/agent_kernel/sessions", {"name": "again", "response_id": "$response"}, "again"),
        delete("/v1/agent_kernel/sessions/$again/everything"),
    ],
    "Files and uploads": [
        Step(
            "POST", "/v1/files", file=("file", "birds.txt", b"An owl is a bird.\n"),
            form={"purpose": "user_data"}, keep="file",
        ),
        get("/v1/files"),
        get("/v1/files/$file"),
        get("/v1/files/$file/content"),
        post(
            "/v1/uploads",
            {"filename": "a.txt", "bytes": 5, "mime_type": "text/plain", "purpose": "user_data"},
            "upload",
        ),
        Step("POST", "/v1/uploads/$upload/parts", file=("data", "part", b"fish\n"), keep="part"),
        post("/v1/uploads/$upload/complete", {"part_ids": ["$part"]}),
        post(
            "/v1/uploads",
            {"filename": "b.txt", "bytes": 5, "mime_type": "text/plain", "purpose": "user_data"},
            "upload",
        ),
        post("/v1/uploads/$upload/cancel"),
    ],
    "Vector stores": [
        post("/v1/vector_stores", {"name": "animals", "file_ids": ["$file"]}, "store"),
        get("/v1/vector_stores"),
        get(STORE, until="completed"),
        post(STORE, {"name": "birds"}),
        get(f"{STORE}/files"),
        get(f"{STORE}/files/$file"),
        post(f"{STORE}/files/$file", {"attributes": {"kind": "bird"}}),
        get(f"{STORE}/files/$file/content"),
        post(f"{STORE}/search", {"query": "owl"}),
        delete(f"{STORE}/files/$file"),
        post(f"{STORE}/files", {"file_id": "$file"}),
        get(f"{STORE}/files/$file", until="completed"),
        post(f"{STORE}/file_batches", {"file_ids": ["$file"]}, "batch"),
        get(f"{STORE}/file_batches/$batch", until="completed"),
        get(f"{STORE}/file_batches/$batch/files"),
        post(f"{STORE}/file_batches/$batch/cancel"),
        delete(STORE),
        delete("/v1/files/$file"),
    ],
    "Skills": [
        Step("POST", "/v1/skills", file=("files", "SKILL.md", SKILL), keep="skill"),
        get("/v1/skills"),
        get("/v1/skills/$skill"),
        get("/v1/skills/$skill/content"),
        Step("POST", "/v1/skills/$skill/versions", file=("files", "SKILL.md", SKILL + b"Or awk.\n")),
        get("/v1/skills/$skill/versions"),
        get("/v1/skills/$skill/versions/2"),
        get("/v1/skills/$skill/versions/2/content"),
        post("/v1/skills/$skill", {"default_version": "2"}),
        delete("/v1/skills/$skill/versions/1"),
        get("/v1/agent_kernel/skills"),
        post(f"{OURS}/skills", {"skills": [{"type": "skill_reference", "skill_id": "$skill"}]}),
        get(f"{OURS}/skills"),
        delete("/v1/skills/$skill"),
        delete(CONTAINER),
    ],
    "The server": [
        get("/v1/models"),
        get("/v1/models/agent_kernel/shell"),
        get("/healthz"),
        get("/metrics"),
        Step("GET", "/openapi.json", shown=("openapi", "info")),
    ],
}  # fmt: skip
