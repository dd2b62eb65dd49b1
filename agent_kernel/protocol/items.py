"""The items and events of the `openai` package, collected in one module, and their JSON.

No class is defined here. The items and events of a tool are imported in the tool's own package.
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
    """Return the JSON of an item, event, response or other model of the package.

    Fields that were never set are left out and nulls that were set are kept, because strict clients tell them
    apart. Values outside the package's enumerations (like our error codes) pass without a warning, as in the
    package's own client. Times in whole seconds are integers, as the API sends them: the package's types make
    them floats, which clients with integer types reject.
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
    """Make an output item from its JSON. Accepts unknown types and fields, as the package's client does."""
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
