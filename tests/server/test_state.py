"""What is kept and how it is found again: input items, references, conversations, compaction, counts."""

from __future__ import annotations

from typing import Any

import httpx2
import openai
import pytest
from openai import OpenAI
from openai.types.responses import FunctionShellToolParam

SHELL: FunctionShellToolParam = {"type": "shell", "environment": {"type": "container_auto"}}
WEATHER: Any = {
    "type": "function", "name": "get_weather", "strict": False,
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}  # fmt: skip


def test_input_items_are_paged_and_have_ids(client: OpenAI) -> None:
    given: Any = [
        {"role": "developer", "content": "Be brief."},
        {"role": "assistant", "content": "Yes."},
        {"role": "user", "content": [{"type": "input_text", "text": "chat"}]},
    ]
    response = client.responses.create(input=given)
    items: Any = client.responses.input_items.list(response.id, order="asc").data
    assert [(item.role, item.content[0].type) for item in items] == [
        ("developer", "input_text"), ("assistant", "output_text"), ("user", "input_text"),
    ]  # fmt: skip
    assert len({item.id for item in items}) == 3
    assert [item.id for item in client.responses.input_items.list(response.id)] == [
        item.id for item in reversed(items)
    ]
    first = client.responses.input_items.list(response.id, order="asc", limit=1)
    assert first.has_more
    assert [item.id for item in client.responses.input_items.list(response.id, order="asc", limit=1)] == [
        item.id for item in items
    ]  # the SDK follows the pages
    with pytest.raises(openai.BadRequestError):
        client.responses.input_items.list(response.id, after="msg_none")


def test_items_are_referred_to(client: OpenAI) -> None:
    first = client.responses.create(input="make a file", tools=[SHELL])
    references: Any = [{"type": "item_reference", "id": item.id} for item in first.output]
    second = client.responses.create(
        input=[{"role": "user", "content": "make a file"}, *references, {"role": "user", "content": "chat"}]
    )
    assert second.output_text == "Hello there."
    items: Any = client.responses.input_items.list(second.id, order="asc", limit=100).data
    assert [item.type for item in items] == [
        "message", *(item.type for item in first.output), "message",
    ]  # fmt: skip
    both = client.responses.create(
        input=[references[-1], {"role": "user", "content": "chat"}], previous_response_id=first.id
    )
    assert len(client.responses.input_items.list(both.id).data) == 1  # the chain has the other already
    with pytest.raises(openai.BadRequestError, match="msg_none"):
        client.responses.create(input=[{"type": "item_reference", "id": "msg_none"}])
    unstored = client.responses.create(input="chat", store=False)
    with pytest.raises(openai.BadRequestError, match="store"):
        client.responses.create(input=[{"type": "item_reference", "id": unstored.output[0].id or ""}])


def test_functions_of_the_client_beside_the_shell(client: OpenAI) -> None:
    first = client.responses.create(input="weather and files", tools=[SHELL, WEATHER])
    assert sorted(item.type for item in first.output) == ["function_call", "shell_call", "shell_call_output"]
    (call,) = [item for item in first.output if item.type == "function_call"]
    assert (call.name, call.arguments) == ("get_weather", '{"city": "Oslo"}')
    with pytest.raises(openai.BadRequestError, match=call.call_id):
        client.responses.create(input="chat", previous_response_id=first.id)
    second = client.responses.create(
        input=[{"type": "function_call_output", "call_id": call.call_id, "output": "rain"}],
        tools=[SHELL, WEATHER],
        previous_response_id=first.id,
    )
    assert second.output_text == "Done with both."
    with pytest.raises(openai.BadRequestError, match="call_none"):
        client.responses.create(
            input=[{"type": "function_call_output", "call_id": "call_none", "output": "rain"}],
            previous_response_id=first.id,
        )


def test_what_is_tolerated(client: OpenAI) -> None:
    tools: Any = [{"type": "namespace", "name": "n", "tools": []}]
    response = client.responses.create(
        input="chat",
        include=["reasoning.encrypted_content"],
        truncation="auto",
        metadata={"a": "b"},
        tools=tools,
        parallel_tool_calls=False,
        max_tool_calls=3,
        max_output_tokens=1000,
        prompt_cache_key="k",
        extra_body={"client_metadata": {"x": "y"}, "unheard_of": 1},
    )
    assert response.output_text == "Hello there."
    assert response.metadata == {"a": "b"}
    assert (response.truncation, response.max_output_tokens) == ("auto", 1000)
    assert (response.max_tool_calls, response.parallel_tool_calls) == (3, False)
    assert client.responses.retrieve(response.id).metadata == {"a": "b"}


def test_a_conversation_collects_what_is_said(client: OpenAI) -> None:
    conversation = client.conversations.create(
        metadata={"topic": "files"}, items=[{"type": "message", "role": "developer", "content": "Be brief."}]
    )
    first = client.responses.create(input="make a file", tools=[SHELL], conversation=conversation.id)
    assert first.conversation is not None
    assert first.conversation.id == conversation.id
    second = client.responses.create(input="look again", tools=[SHELL], conversation={"id": conversation.id})
    assert second.output_text == "It says hello."
    items: Any = client.conversations.items.list(conversation.id, order="asc", limit=100).data
    assert [item.type for item in items] == [
        "message",
        "message", "reasoning", "shell_call", "shell_call_output", "message",
        "message", "shell_call", "shell_call_output", "message",
    ]  # fmt: skip
    client.responses.create(input="chat", conversation=conversation.id, store=False)
    assert len(client.conversations.items.list(conversation.id, limit=100).data) == len(items) + 2


def test_conversations_are_changed_and_really_deleted(client: OpenAI, server: Any) -> None:
    conversation = client.conversations.create()
    assert client.conversations.update(conversation.id, metadata={"a": "b"}).metadata == {"a": "b"}
    assert client.conversations.retrieve(conversation.id).metadata == {"a": "b"}
    added = client.conversations.items.create(
        conversation.id,
        items=[{"role": "user", "content": "a secret word"}, {"role": "user", "content": "2"}],
    )
    one, two = added.data
    assert client.conversations.items.retrieve(one.id or "", conversation_id=conversation.id).id == one.id
    client.conversations.items.delete(two.id or "", conversation_id=conversation.id)
    assert [item.id for item in client.conversations.items.list(conversation.id)] == [one.id]
    client.conversations.delete(conversation.id)
    for call in (client.conversations.retrieve, client.conversations.items.list, client.conversations.delete):
        with pytest.raises(openai.NotFoundError, match=conversation.id):
            call(conversation.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.create(input="chat", conversation=conversation.id)
    wrongs: list[dict[str, Any]] = [
        {"items": "x"},
        {"items": [{}] * 21},
        {"metadata": {"a": 1}},
        {"items": [{"type": "item_reference", "id": "x"}]},
    ]
    for wrong in wrongs:
        with pytest.raises(openai.BadRequestError):
            client.conversations.create(extra_body=wrong)


def test_a_conversation_takes_one_turn_at_a_time(client: OpenAI) -> None:
    conversation = client.conversations.create()
    begun = client.responses.create(
        input="wait", tools=[SHELL], conversation=conversation.id, background=True
    )
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(input="chat", conversation=conversation.id)
    assert caught.value.code == "conversation_locked"
    client.responses.cancel(begun.id)
    assert client.responses.create(input="chat", conversation=conversation.id).status == "completed"
    items: Any = client.conversations.items.list(conversation.id, order="asc").data
    assert [item.type for item in items][-2:] == ["message", "message"]


def test_tokens_are_estimated(client: OpenAI) -> None:
    little = client.responses.input_tokens.count(model="", input="chat")
    much = client.responses.input_tokens.count(model="", input="word " * 1000)
    assert 0 < little.input_tokens < 20
    assert 1000 <= much.input_tokens <= 1500
    first = client.responses.create(input="word " * 1000 + "chat")
    after = client.responses.input_tokens.count(model="", input="chat", previous_response_id=first.id)
    assert after.input_tokens > much.input_tokens


def test_compaction_gives_items_to_go_on_with(client: OpenAI, server: Any) -> None:
    first = client.responses.create(input="make a file", tools=[SHELL])
    compacted = client.responses.compact(model="", previous_response_id=first.id)
    assert compacted.object == "response.compaction"
    assert [item.type for item in compacted.output] == ["message", "compaction"]
    given: Any = [item.to_dict(warnings=False) for item in compacted.output]
    second = client.responses.create(input=[*given, {"role": "user", "content": "chat"}])
    assert second.output_text == "Hello there."
    response = httpx2.post(
        f"{server.url}/responses/compact",
        json={"input": "x"},
        headers={"Authorization": "Bearer sk-test"},
    )
    assert (response.status_code, response.json()["error"]["param"]) == (400, "model")


def test_a_long_conversation_is_compacted_on_the_way(client: OpenAI) -> None:
    first = client.responses.create(input="make a file", tools=[SHELL])
    limit: Any = [{"type": "compaction", "compact_threshold": 20}]
    second = client.responses.create(input="chat", previous_response_id=first.id, context_management=limit)
    assert [item.type for item in second.output] == ["compaction", "message"]
    before = client.responses.input_tokens.count(model="", input="chat", previous_response_id=first.id)
    third = client.responses.create(input="look again", tools=[SHELL], previous_response_id=second.id)
    assert third.output_text == "It says hello."
    assert before.input_tokens > 0


def test_warming_up(client: OpenAI) -> None:
    warm = client.responses.create(
        input=[{"role": "developer", "content": "x"}], extra_body={"generate": False}
    )
    assert (warm.status, warm.output) == ("completed", [])
    assert client.responses.create(input="chat", previous_response_id=warm.id).output_text == "Hello there."
