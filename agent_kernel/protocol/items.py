"""The vocabulary: the `openai` package's own types under one roof, and their JSON.

Nothing here is a class of ours. The items and events of a tool are named in the tool's own package.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from openai import BaseModel
from openai.types.responses import (
    Response,
    ResponseCompletedEvent,
    ResponseContentPartAddedEvent,
    ResponseContentPartDoneEvent,
    ResponseCreatedEvent,
    ResponseErrorEvent,
    ResponseFailedEvent,
    ResponseFunctionCallArgumentsDeltaEvent,
    ResponseFunctionCallArgumentsDoneEvent,
    ResponseFunctionToolCall,
    ResponseIncompleteEvent,
    ResponseInProgressEvent,
    ResponseOutputItem,
    ResponseOutputItemAddedEvent,
    ResponseOutputItemDoneEvent,
    ResponseOutputMessage,
    ResponseOutputRefusal,
    ResponseOutputText,
    ResponseQueuedEvent,
    ResponseReasoningItem,
    ResponseReasoningSummaryPartAddedEvent,
    ResponseReasoningSummaryPartDoneEvent,
    ResponseReasoningSummaryTextDeltaEvent,
    ResponseReasoningSummaryTextDoneEvent,
    ResponseRefusalDeltaEvent,
    ResponseRefusalDoneEvent,
    ResponseStreamEvent,
    ResponseTextDeltaEvent,
    ResponseTextDoneEvent,
    ResponseUsage,
)
from openai.types.responses.response_error import ResponseError

ItemStatus = Literal["in_progress", "completed", "incomplete"]


def to_json(model: BaseModel) -> dict[str, Any]:
    """Turn into JSON an item, event, response or any other of the package's models.

    Fields that were never set are left out, nulls that were set stay: strict clients tell them apart. Values
    outside the package's enumerations (an error code of ours) pass without a warning, as they do in the
    package's own client. Times in whole seconds are integers, as the API sends them: the package's types make
    floats of them, on which clients with integer types would stumble.
    """
    json = model.to_dict(mode="json", warnings=False)
    for resource in (json, json.get("response")):
        if isinstance(resource, dict):
            resource.update({name: _whole(resource[name]) for name in _TIMES if name in resource})
    return json


_TIMES = ("created_at", "completed_at")


def _whole(seconds: Any) -> Any:
    return int(seconds) if isinstance(seconds, float) and seconds.is_integer() else seconds


def item_of(json: Mapping[str, Any]) -> ResponseOutputItem:
    """Make an output item from its JSON, as tolerant of the unknown as the package's client is."""
    event = ResponseOutputItemDoneEvent.construct(
        type="response.output_item.done", output_index=0, sequence_number=0, item=dict(json)
    )
    return event.item


__all__ = [
    "ItemStatus",
    "Response",
    "ResponseCompletedEvent",
    "ResponseContentPartAddedEvent",
    "ResponseContentPartDoneEvent",
    "ResponseCreatedEvent",
    "ResponseError",
    "ResponseErrorEvent",
    "ResponseFailedEvent",
    "ResponseFunctionCallArgumentsDeltaEvent",
    "ResponseFunctionCallArgumentsDoneEvent",
    "ResponseFunctionToolCall",
    "ResponseInProgressEvent",
    "ResponseIncompleteEvent",
    "ResponseOutputItem",
    "ResponseOutputItemAddedEvent",
    "ResponseOutputItemDoneEvent",
    "ResponseOutputMessage",
    "ResponseOutputRefusal",
    "ResponseOutputText",
    "ResponseQueuedEvent",
    "ResponseReasoningItem",
    "ResponseReasoningSummaryPartAddedEvent",
    "ResponseReasoningSummaryPartDoneEvent",
    "ResponseReasoningSummaryTextDeltaEvent",
    "ResponseReasoningSummaryTextDoneEvent",
    "ResponseRefusalDeltaEvent",
    "ResponseRefusalDoneEvent",
    "ResponseStreamEvent",
    "ResponseTextDeltaEvent",
    "ResponseTextDoneEvent",
    "ResponseUsage",
    "item_of",
    "to_json",
]
