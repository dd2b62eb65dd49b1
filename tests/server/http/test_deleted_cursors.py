"""Every list goes on from where a deleted entry was, on another server of the store and after a restart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from openai import BadRequestError, OpenAI

from tests.conftest import BUBBLEWRAP
from tests.server.conftest import KEY, Server, Start

pytestmark = pytest.mark.parametrize("backend", [BUBBLEWRAP], indirect=True)

COUNT = 6


@dataclass
class Listed:
    """A list with `COUNT` entries, of which one client deletes."""

    page: Callable[..., Any]
    delete: Callable[[str], Any]


def files(client: OpenAI) -> Callable[[OpenAI], Listed]:
    for number in range(COUNT):  # every second one is of another purpose
        for purpose in ("user_data", "vision"):
            client.files.create(file=(str(number), b"x"), purpose=purpose)
    return lambda other: Listed(
        lambda **asked: other.files.list(purpose="user_data", **asked), other.files.delete
    )


def containers(client: OpenAI) -> Callable[[OpenAI], Listed]:
    for number in range(COUNT):
        client.containers.create(name=f"c{number}")
    return lambda other: Listed(other.containers.list, other.containers.delete)


def container_files(client: OpenAI) -> Callable[[OpenAI], Listed]:
    container = client.containers.create(name="lab").id
    for number in range(COUNT):
        client.containers.files.create(container, file=(f"{number}.txt", b"x"))

    def listed(other: OpenAI) -> Listed:
        return Listed(
            lambda **asked: other.containers.files.list(container, **asked),
            lambda id_: other.containers.files.delete(id_, container_id=container),
        )

    return listed


def items(client: OpenAI) -> Callable[[OpenAI], Listed]:
    said: Any = [{"type": "message", "role": "user", "content": str(n)} for n in range(COUNT)]
    conversation = client.conversations.create(items=said).id

    def listed(other: OpenAI) -> Listed:
        return Listed(
            lambda **asked: other.conversations.items.list(conversation, **asked),
            lambda id_: other.conversations.items.delete(id_, conversation_id=conversation),
        )

    return listed


LISTS = {each.__name__: each for each in (files, containers, container_files, items)}


@pytest.fixture
def servers(start: Start) -> Iterator[Callable[[], OpenAI]]:
    """Returns the client of another server of the same store; the server before it has ended."""
    running: list[Server] = []
    clients: list[OpenAI] = []

    def another(*, end: bool = False) -> OpenAI:
        if end:
            running[-1].stop()
        running.append(start(KEY))
        clients.append(running[-1].client())
        return clients[-1]

    yield another
    for client in clients:
        client.close()


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("kind", LISTS)
def test_paging_goes_on_from_deleted_entries(servers: Any, kind: str, order: str) -> None:
    first, second = servers(), servers()
    listed = LISTS[kind](first)
    every = [each.id for each in listed(first).page(order=order, limit=50).data]
    assert len(every) == COUNT
    assert [each.id for each in listed(second).page(order=order, limit=2).data] == every[:2]
    for id_ in every[:2]:  # the whole page is deleted where it was not listed
        listed(first).delete(id_)
    page = listed(second).page(order=order, limit=2, after=every[1])
    assert ([each.id for each in page.data], page.has_more) == (every[2:4], True)
    listed(second).delete(every[3])
    third = servers(end=True)
    page = listed(third).page(order=order, limit=4, after=every[3])
    assert ([each.id for each in page.data], page.has_more) == (every[4:], False)
    listed(first).delete(every[5])  # the last entry of the last page
    for client in (first, third):
        page = listed(client).page(order=order, limit=4, after=every[5])
        assert (page.data, page.has_more) == ([], False)
    with pytest.raises(BadRequestError, match="No entry with the id"):
        listed(third).page(order=order, after="never-there")


def test_a_file_that_a_command_removed_is_a_cursor(servers: Any) -> None:
    first, second = servers(), servers()
    container = first.containers.create(name="lab").id
    for number in range(4):
        first.containers.files.create(container, file=(f"{number}.txt", b"x"))
    page = first.containers.files.list(container, order="asc", limit=2)
    shell: Any = [
        {"type": "shell", "environment": {"type": "container_reference", "container_id": container}}
    ]
    first.responses.create(input="remove 1.txt", tools=shell)
    rest = second.containers.files.list(container, order="asc", after=page.data[-1].id)
    assert [each.path for each in rest.data] == ["/mnt/data/2.txt", "/mnt/data/3.txt"]
