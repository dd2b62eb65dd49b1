#!/bin/sh
# ai 7.0.173, @ai-sdk/openai 4.0.118: a custom tool with `previousResponseId`, in `generateText`. Needs Node and npm.
#
# Seen on 2026-11-30: the model calls a custom tool, and the SDK runs it. Its next request still names the response
# *before* the call as `previous_response_id`, and brings the prompt and the tool's output, but not the call. The API
# refuses an output whose call it does not know (400), so the loop ends there. Without `previousResponseId` a reference
# to the call is sent, and a function tool in the same place is sent with its call.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund --no-save ai@7.0.173 @ai-sdk/openai@4.0.118 zod@4
cat > run.mjs <<'END'
import assert from "node:assert";
import http from "node:http";
import { createOpenAI } from "@ai-sdk/openai";
import { generateText, isStepCount, tool } from "ai";
import { z } from "zod";

const asked = [];
const calls = {
  query: { type: "custom_tool_call", id: "ctc_1", call_id: "call_1", name: "query", input: "SELECT 1" },
  add: { type: "function_call", id: "fc_1", call_id: "call_1", name: "add", arguments: "{}", status: "completed" },
};
const message = {
  type: "message", id: "msg_1", role: "assistant", status: "completed",
  content: [{ type: "output_text", text: "Done.", annotations: [] }],
};
let name = "";
const server = http.createServer((request, response) => {
  let body = "";
  request.on("data", (piece) => (body += piece));
  request.on("end", () => {
    asked.push(JSON.parse(body));
    const output = [asked.length === 1 ? calls[name] : message];
    response.setHeader("Content-Type", "application/json");
    response.end(JSON.stringify({
      id: `resp_${asked.length}`, object: "response", created_at: 1, status: "completed", model: "m", output,
      usage: { input_tokens: 1, output_tokens: 1, total_tokens: 2 },
    }));
  });
});
await new Promise((done) => server.listen(0, "127.0.0.1", done));
const provider = createOpenAI({ baseURL: `http://127.0.0.1:${server.address().port}/v1`, apiKey: "none" });
const tools = {
  query: provider.tools.customTool({ name: "query", description: "Queries.", format: { type: "text" }, execute: async () => "1" }),
  add: tool({ description: "Adds.", inputSchema: z.object({}), execute: async () => "1" }),
};

async function second(which, previousResponseId) {
  asked.length = 0;
  name = which;
  await generateText({
    model: provider.responses("m"), tools: { [which]: tools[which] }, prompt: "Go.", stopWhen: isStepCount(2), maxRetries: 0,
    providerOptions: previousResponseId ? { openai: { previousResponseId } } : {},
  });
  const { previous_response_id, input } = asked[1];
  const types = input.map((each) => each.type ?? each.role);
  console.log(which, previous_response_id ?? "-", types.join(" "));
  return [previous_response_id, types];
}

const kept = await second("query", undefined);
const lost = await second("query", "resp_0");
const functions = await second("add", "resp_0");
server.close();
assert.deepStrictEqual(kept, [undefined, ["user", "item_reference", "custom_tool_call_output"]]);
assert.deepStrictEqual(lost, ["resp_0", ["user", "custom_tool_call_output"]]);
assert.deepStrictEqual(functions, ["resp_0", ["user", "function_call", "function_call_output"]]);
END
node run.mjs
