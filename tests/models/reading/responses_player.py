"""Streams a random answer as servers of the Responses API do."""

from __future__ import annotations

from random import Random
from typing import Any

from tests.models.reading.answers import Answer, Called, Json, Said, merged, pieces


class ResponsesPlayer:
    """One server with random habits, chosen once for an answer."""

    def __init__(self, random: Random) -> None:
        self.random = random
        # How an event names its item: by index, by id, or both. `other ids` changes them in later events.
        self.named = random.choice(["both", "index", "id", "other ids"])
        self.together = random.random() < 0.3
        self.has_added = random.random() < 0.8
        self.has_done = random.random() < 0.7
        self.has_deltas = random.random() < 0.8
        self.has_text_done = random.random() < 0.5
        self.output = random.choice(["whole", "empty", "other ids"])
        if not self.has_done and (not self.has_added or not self.has_deltas):
            self.output = "whole"
        self.status = random.random() < 0.7
        self.closing = random.choice(["event", "event", "response.done", "[DONE]"])
        if self.output == "whole" and not self.has_done:
            self.closing = "event"

    def events(self, answer: Answer) -> list[Any]:
        """Return the events; the last may be the text `[DONE]`."""
        streams = [self._item(number, part) for number, part in enumerate(answer.parts)]
        if answer.is_cut and answer.ends_in_call():
            streams[-1] = [each for each in streams[-1] if not each["type"].endswith(".done")]
        if self.together:  # calls come mixed, also with messages, but messages one after the other
            said = [
                each
                for some, part in zip(streams, answer.parts, strict=True)
                if isinstance(part, Said)
                for each in some
            ]
            calls = [
                some for some, part in zip(streams, answer.parts, strict=True) if isinstance(part, Called)
            ]
            streams = [merged(self.random, [said, *calls])]
        return [self._begun(), *(each for some in streams for each in some), self._ended(answer)]

    def _begun(self) -> Json:
        return {
            "type": "response.created",
            "response": {"id": "r", "object": "response", "status": "in_progress"},
        }

    def _item(self, number: int, part: Said | Called) -> list[Json]:
        whole = self._whole(number, part)
        begun = {**whole, "status": "in_progress"}
        kinds: dict[str, str]
        if isinstance(part, Called):
            begun, text = {**begun, "arguments": ""}, part.arguments
            kinds = {"delta": "function_call_arguments.delta", "done": "function_call_arguments.done"}
            ended = {"arguments": text}
        elif part.is_reasoning:
            begun, text = {**begun, "summary": []}, part.text
            kinds = {"delta": "reasoning_summary_text.delta", "done": "reasoning_summary_text.done"}
            ended = {"text": text}
        else:
            begun, text = {**begun, "content": []}, part.text
            kinds = {"delta": "output_text.delta", "done": "output_text.done"}
            ended = {"text": text}
        about = self._about(number, whole["id"])
        events: list[Json] = []
        if self.has_added or (isinstance(part, Called) and self.has_deltas):
            events.append({"type": "response.output_item.added", **self._index(number), "item": begun})
        if self.has_deltas:
            deltas = pieces(self.random, text)
            events += [{"type": f"response.{kinds['delta']}", **about, "delta": each} for each in deltas]
        if self.has_text_done and events:
            events.append({"type": f"response.{kinds['done']}", **about, **ended})
        if self.has_done:
            item = {**whole, "id": f"other_{number}"} if self.named == "other ids" else whole
            events.append({"type": "response.output_item.done", **self._index(number), "item": item})
        return events

    def _whole(self, number: int, part: Said | Called) -> Json:
        status = {"status": "completed"} if self.status else {}
        if isinstance(part, Called):
            ids = {"id": f"fc_{number}", "call_id": f"call_{number}"}
            return {"type": "function_call", **ids, "name": part.name, "arguments": part.arguments, **status}
        if part.is_reasoning:
            summary = [{"type": "summary_text", "text": part.text}]
            return {"type": "reasoning", "id": f"rs_{number}", "summary": summary, **status}
        content = [{"type": "output_text", "text": part.text, "annotations": []}]
        return {"type": "message", "id": f"msg_{number}", "role": "assistant", "content": content, **status}

    def _index(self, number: int) -> Json:
        return {} if self.named == "id" else {"output_index": number}

    def _about(self, number: int, item_id: str) -> Json:
        return self._index(number) if self.named == "index" else {**self._index(number), "item_id": item_id}

    def _ended(self, answer: Answer) -> Json | str:
        if self.closing == "[DONE]" and not answer.is_cut:
            return "[DONE]"
        parts = answer.parts[:-1] if answer.is_cut and answer.ends_in_call() else answer.parts
        output = [] if self.output == "empty" else [self._whole(*each) for each in enumerate(parts)]
        if self.output == "other ids":
            output = [{**each, "id": f"end_{number}"} for number, each in enumerate(output)]
        status = "incomplete" if answer.is_cut else "completed"
        details = {"incomplete_details": {"reason": "max_output_tokens"}} if answer.is_cut else {}
        response = {"id": "r", "object": "response", "status": status, "output": output, **details}
        kind = "response.done" if self.closing == "response.done" else f"response.{status}"
        return {"type": kind, "response": response}
