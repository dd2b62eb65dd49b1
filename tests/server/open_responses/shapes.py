"""The shapes that Open Responses gives to a response and to the events of a stream.

Stricter than the `openai` package's types: what may be null is named, everything else may be left out or must
be there, but is never null.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

ItemStatus = Literal["in_progress", "completed", "incomplete"]
LEFT_OUT: Any = None  # default of a field that may be left out, but not be null


class Shape(BaseModel):
    """No number for a string, no string for a number; further fields are welcome."""

    model_config = ConfigDict(strict=True, extra="allow")


class Text(Shape):
    type: Literal["input_text", "text", "summary_text", "reasoning_text"]
    text: str


class OutputText(Shape):
    type: Literal["output_text"]
    text: str
    annotations: list[dict[str, Any]]
    logprobs: list[dict[str, Any]] = LEFT_OUT


class Refusal(Shape):
    type: Literal["refusal"]
    refusal: str


class InputMedia(Shape):
    type: Literal["input_image", "input_file"]


Part = Annotated[Text | OutputText | Refusal | InputMedia, Field(discriminator="type")]


class Message(Shape):
    type: Literal["message"]
    id: str
    status: ItemStatus
    role: Literal["user", "assistant", "system", "developer"]
    content: list[Part]
    phase: Literal["commentary", "final_answer"] = LEFT_OUT


class FunctionCall(Shape):
    type: Literal["function_call"]
    id: str
    call_id: str
    name: str
    arguments: str
    status: ItemStatus


class Reasoning(Shape):
    type: Literal["reasoning"]
    id: str
    summary: list[Part]
    content: list[Part] = LEFT_OUT
    encrypted_content: str = LEFT_OUT


class Compaction(Shape):
    type: Literal["compaction"]
    id: str
    encrypted_content: str


Item = Annotated[Message | FunctionCall | Reasoning | Compaction, Field(discriminator="type")]


class FunctionTool(Shape):
    type: Literal["function"]
    name: str
    description: str | None
    parameters: dict[str, Any] | None
    strict: bool | None


class ToolChoice(Shape):
    type: Literal["function", "allowed_tools"]


class TextFormat(Shape):
    type: Literal["text", "json_object", "json_schema"]


class TextSettings(Shape):
    format: TextFormat
    verbosity: Literal["low", "medium", "high"] = LEFT_OUT


class ReasoningSettings(Shape):
    effort: Literal["none", "low", "medium", "high", "xhigh"] | None
    summary: Literal["concise", "detailed", "auto"] | None


class InputDetails(Shape):
    cached_tokens: int


class OutputDetails(Shape):
    reasoning_tokens: int


class Usage(Shape):
    input_tokens: int
    output_tokens: int
    total_tokens: int
    input_tokens_details: InputDetails
    output_tokens_details: OutputDetails


class Details(Shape):
    reason: str


class Failure(Shape):
    code: str
    message: str


class Resource(Shape):
    """The response object: every field is there, those that say so may be null."""

    id: str
    object: Literal["response"]
    created_at: int
    completed_at: int | None
    status: str
    incomplete_details: Details | None
    model: str
    previous_response_id: str | None
    instructions: str | None
    output: list[Item]
    error: Failure | None
    tools: list[FunctionTool]
    tool_choice: Literal["none", "auto", "required"] | ToolChoice
    truncation: Literal["auto", "disabled"]
    parallel_tool_calls: bool
    text: TextSettings
    top_p: float
    presence_penalty: float
    frequency_penalty: float
    top_logprobs: int
    temperature: float
    reasoning: ReasoningSettings | None
    usage: Usage | None
    max_output_tokens: int | None
    max_tool_calls: int | None
    store: bool
    background: bool
    service_tier: str
    metadata: dict[str, str]
    safety_identifier: str | None
    prompt_cache_key: str | None


class Compacted(Shape):
    """What `POST /v1/responses/compact` answers."""

    id: str
    object: Literal["response.compaction"]
    created_at: int
    output: list[Item]
    usage: Usage


class ResponseEvent(Shape):
    type: Literal[
        "response.created",
        "response.queued",
        "response.in_progress",
        "response.completed",
        "response.failed",
        "response.incomplete",
    ]
    sequence_number: int
    response: Resource


class ItemEvent(Shape):
    type: Literal["response.output_item.added", "response.output_item.done"]
    sequence_number: int
    output_index: int
    item: Item


class PartEvent(Shape):
    type: Literal["response.content_part.added", "response.content_part.done"]
    sequence_number: int
    item_id: str
    output_index: int
    content_index: int
    part: Part


class SummaryPartEvent(Shape):
    type: Literal["response.reasoning_summary_part.added", "response.reasoning_summary_part.done"]
    sequence_number: int
    item_id: str
    output_index: int
    summary_index: int
    part: Part


class Delta(Shape):
    type: Literal["response.output_text.delta", "response.refusal.delta"]
    sequence_number: int
    item_id: str
    output_index: int
    content_index: int
    delta: str
    logprobs: list[dict[str, Any]] = LEFT_OUT


class TextDone(Shape):
    type: Literal["response.output_text.done"]
    sequence_number: int
    item_id: str
    output_index: int
    content_index: int
    text: str
    logprobs: list[dict[str, Any]] = LEFT_OUT


class SummaryDelta(Shape):
    type: Literal["response.reasoning_summary_text.delta"]
    sequence_number: int
    item_id: str
    output_index: int
    summary_index: int
    delta: str


class SummaryDone(Shape):
    type: Literal["response.reasoning_summary_text.done"]
    sequence_number: int
    item_id: str
    output_index: int
    summary_index: int
    text: str


class ArgumentsDelta(Shape):
    type: Literal["response.function_call_arguments.delta"]
    sequence_number: int
    item_id: str
    output_index: int
    delta: str


class ArgumentsDone(Shape):
    type: Literal["response.function_call_arguments.done"]
    sequence_number: int
    item_id: str
    output_index: int
    arguments: str


class ErrorPayload(Shape):
    type: str
    code: str | None
    message: str
    param: str | None


class ErrorEvent(Shape):
    type: Literal["error"]
    sequence_number: int
    error: ErrorPayload


class SocketFailure(Failure):
    type: str = LEFT_OUT
    param: str | None = None


class SocketError(Shape):
    """An error on a WebSocket: with the status that HTTP would have had, and always with a code."""

    type: Literal["error"]
    status: int
    error: SocketFailure


Event = Annotated[
    ResponseEvent
    | ItemEvent
    | PartEvent
    | SummaryPartEvent
    | Delta
    | TextDone
    | SummaryDelta
    | SummaryDone
    | ArgumentsDelta
    | ArgumentsDone
    | ErrorEvent,
    Field(discriminator="type"),
]
EVENT: TypeAdapter[Any] = TypeAdapter(Event)
