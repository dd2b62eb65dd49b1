"""Uploaded files, and their way into containers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from openai import OpenAI


def test_a_file_is_kept_and_deleted(client: OpenAI, tmp_path: Path) -> None:
    data = b"a,b\n" * 50_000
    file = client.files.create(file=("table ü.csv", data), purpose="user_data")
    assert (file.filename, file.bytes, file.purpose, file.status) == (
        "table ü.csv", len(data), "user_data", "processed",
    )  # fmt: skip
    assert client.files.retrieve(file.id) == file
    assert client.files.content(file.id).read() == data
    other = client.files.create(file=("b", b""), purpose="vision")
    assert [each.id for each in client.files.list()] == [other.id, file.id]
    assert [each.id for each in client.files.list(purpose="vision")] == [other.id]
    folder = tmp_path / "files"
    assert len(list(folder.iterdir())) == 2
    assert client.files.delete(file.id).deleted
    client.files.delete(other.id)
    assert list(folder.iterdir()) == []
    with pytest.raises(openai.NotFoundError, match=file.id):
        client.files.content(file.id)


def test_wrong_uploads_leave_nothing(client: OpenAI, tmp_path: Path) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        client.files.create(file=("big", b"x" * (2 << 20)), purpose="user_data")
    assert caught.value.status_code == 413
    wrong: Any = "x" * 100
    with pytest.raises(openai.BadRequestError):
        client.files.create(file=("a", b"x"), purpose=wrong)
    with pytest.raises(openai.BadRequestError):
        client.files.create(
            file=("a", b"x"), purpose="batch", expires_after={"anchor": "created_at", "seconds": 1}
        )
    assert list((tmp_path / "files").iterdir()) == []
    file = client.files.create(
        file=("../../a/../b.txt", b"x"),
        purpose="batch",
        expires_after={"anchor": "created_at", "seconds": 3600},
    )
    assert file.filename == "b.txt"
    assert file.expires_at == file.created_at + 3600


def test_the_fields_may_come_after_the_file(server: Any) -> None:
    body = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\ndata\r\n'
        b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nevals\r\n--b--\r\n'
    )
    headers = {"Authorization": "Bearer sk-test", "Content-Type": "multipart/form-data; boundary=b"}
    response = httpx2.post(f"{server.url}/files", content=body, headers=headers)
    assert (response.status_code, response.json()["purpose"], response.json()["bytes"]) == (200, "evals", 4)


@pytest.mark.on_docker
def test_files_come_into_containers(client: OpenAI) -> None:
    file = client.files.create(file=("table.csv", b"a,b\n"), purpose="user_data")
    container = client.containers.create(name="c", file_ids=[file.id])
    (inside,) = client.containers.files.list(container.id)
    assert (inside.path, inside.bytes, inside.source) == ("/mnt/data/table.csv", 4, "user")
    other = client.containers.create(name="d")
    copied = client.containers.files.create(other.id, file_id=file.id)
    assert (copied.path, copied.source) == ("/mnt/data/table.csv", "user")
    with pytest.raises(openai.NotFoundError, match="file-none"):
        client.containers.create(name="e", file_ids=["file-none"])
    assert {each.name for each in client.containers.list()} == {"c", "d"}


def test_container_auto_begins_with_files(client: OpenAI) -> None:
    file = client.files.create(file=("table.csv", b"a,b\n"), purpose="user_data")
    tool: Any = {"type": "shell", "environment": {"type": "container_auto", "file_ids": [file.id]}}
    first = client.responses.create(input="what was it", tools=[tool])
    output: Any = first.output[1]
    assert output.output[0].stdout == "table.csv\n"
    changed = client.responses.create(
        model="agent_kernel/shell",
        input="echo changed > table.csv",
        tools=[tool],
        previous_response_id=first.id,
    )
    again = client.responses.create(
        model="agent_kernel/shell", input="cat table.csv", tools=[tool], previous_response_id=changed.id
    )
    printed: Any = again.output[-1]
    assert printed.output[0].stdout == "changed\n"  # copied once, into a new container only
    tool["environment"]["file_ids"] = ["file-none"]
    with pytest.raises(openai.NotFoundError, match="file-none"):
        client.responses.create(input="what was it", tools=[tool])
