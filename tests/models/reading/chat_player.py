"""Streams a random answer as servers of Chat Completions do."""

from __future__ import annotations

from random import Random
from typing import Any

from tests.models.reading.answers import Answer, Called, Json, Said, merged, pieces

CUT = ["length", "content_filter"]
ENDS = ["stop", "tool_calls", "function_call", "eos", "end_turn", None]


class ChatPlayer:
    """One server with random habits, chosen once for an answer."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.together = random.random() < 0.3  # parallel calls come mixed
        self.indices = "right" if self.together else random.choice(["right", "zero", "none"])
        self.ids = random.choice(["first", "every", "none", "numbers"])
        self.names = random.choice(["first", "every"])
        self.field = random.choice(["reasoning_content", "reasoning"])
        self.twice = random.random() < 0.2  # a call is sent once more, whole
        self.count = 0

    def events(self, answer: Answer) -> list[Any]:
        """Return the chunks; the last may be the text `[DONE]`."""
        chunks: list[Json] = []
        calls: list[list[Json]] = []
        for part in [*answer.parts, Said("")]:
            if isinstance(part, Called):
                calls.append(self._call(part, is_last=part is answer.parts[-1]))
            if calls and not (self.together and isinstance(part, Called)):
                chunks += merged(self.random, calls) if self.together else calls[0]
                calls = []
            if isinstance(part, Said):
                name = self.field if part.is_reasoning else "content"
                chunks += [{name: piece} for piece in pieces(self.random, part.text)]
        return self._ended(answer, chunks)

    def _call(self, called: Called, *, is_last: bool) -> list[Json]:
        number, self.count = self.count, self.count + 1
        made: list[Json] = [{"arguments": piece} for piece in pieces(self.random, called.arguments)]
        if self.random.random() < 0.5:
            made.insert(0, {"arguments": self.random.choice(["", None])})
        call_id = {"none": None, "numbers": str(number)}.get(self.ids, f"call_{number}")
        deltas = []
        for place, function in enumerate(made):
            call: Json = {"type": "function", "function": function}
            if place == 0 or self.names == "every":
                function["name"] = called.name
            if call_id is not None and (place == 0 or self.ids == "every"):
                call["id"] = call_id
            if self.indices != "none":
                call["index"] = number if self.indices == "right" else 0
            deltas.append({"tool_calls": [call]})
        if self.twice and call_id is not None and is_last:
            whole = {"name": called.name, "arguments": called.arguments}
            deltas.append({"tool_calls": [{**call, "index": number + 1, "id": call_id, "function": whole}]})
        return deltas

    def _ended(self, answer: Answer, deltas: list[Json]) -> list[Any]:
        random = self.random
        deltas = [{"role": "assistant", "content": random.choice(["", None])}, *deltas]
        reason = random.choice(CUT if answer.is_cut else ENDS)
        choices: list[Json] = [{"index": 0, "delta": each, "finish_reason": None} for each in deltas]
        if random.random() < 0.3:
            choices[-1]["finish_reason"] = reason
        else:
            choices.append(
                {"index": 0, "delta": random.choice([{}, {"content": ""}, None]), "finish_reason": reason}
            )
        chunks: list[Any] = [
            {"id": "c", "object": "chat.completion.chunk", "choices": [each]} for each in choices
        ]
        if random.random() < 0.5:
            chunks.append(
                {"id": "c", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": None}}
            )
        return [*chunks, *(["[DONE]"] if reason is None or random.random() < 0.8 else [])]
