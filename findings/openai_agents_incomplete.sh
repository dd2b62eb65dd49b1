#!/bin/sh
# openai-agents 0.24.0: a model response that ends as `incomplete`, because it used up its output tokens.
#
# Seen on 2026-11-29: both `Runner.run` and `Runner.run_streamed` raise ModelBehaviorError. The message speaks of a
# stream in the run that is not streamed too, and the text that had arrived is in neither the error nor its
# run data: it is lost to the caller.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check openai-agents==0.24.0 openai==3.57.0
PYTHONPATH=$here "$folder/venv/bin/python" - <<'END'
import asyncio

import incomplete_server
from agents import Agent, ModelBehaviorError, OpenAIResponsesModel, Runner, set_tracing_disabled
from openai import AsyncOpenAI

set_tracing_disabled(True)


async def main():
    client = AsyncOpenAI(base_url=incomplete_server.serve(), api_key="none")
    agent = Agent(name="agent", model=OpenAIResponsesModel("m", client))
    errors = []
    try:
        await Runner.run(agent, "hi")
    except ModelBehaviorError as error:
        errors.append(error)
    try:
        async for _ in Runner.run_streamed(agent, "hi").stream_events():
            pass
    except ModelBehaviorError as error:
        errors.append(error)
    for name, error in zip(("run", "run_streamed"), errors, strict=True):
        kept = error.run_data.new_items if error.run_data else None
        print(f"{name}: {type(error).__name__}: {error}")
        print(f"{name}, items in the error's run data: {kept}")
        assert "response.incomplete" in str(error) and "first half" not in str(error)
        assert not kept


asyncio.run(main())
END
