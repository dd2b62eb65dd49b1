// Vercel's AI SDK: tools.shell in a container, two turns, plain and streamed; a function tool of its own among the
// commands, with its own loop over the steps; tools.codeInterpreter with a variable that lasts; tools.fileSearch with its citations.
import { createOpenAI } from "@ai-sdk/openai";
import { generateText, isStepCount, jsonSchema, stepCountIs, streamText, tool } from "ai";

const provider = createOpenAI({ baseURL: process.env.OPENAI_BASE_URL });
const model = provider.responses(process.env.MODEL);
const shell = provider.tools.shell({ environment: { type: "containerAuto" } });
const weather = tool({
  description: "The weather of a city.",
  inputSchema: jsonSchema({
    type: "object",
    properties: { city: { type: "string" } },
    required: ["city"],
    additionalProperties: false,
  }),
  execute: async ({ city }) => ({ Oslo: "minus 4 degrees", Rome: "30 degrees" })[city],
});
const common = { model, maxRetries: 0, tools: { shell } };
const after = (result) => ({
  providerOptions: { openai: { previousResponseId: result.providerMetadata.openai.responseId } },
});
const printed = (results) =>
  results
    .filter((result) => result.toolName === "shell")
    .flatMap((result) => result.output.output.map((each) => each.stdout));

async function twoTurns() {
  const first = await generateText({ ...common, prompt: "collect the measurements" });
  const second = await generateText({ ...common, prompt: "add them up", ...after(first) });
  return {
    said: [first.text, second.text],
    printed: printed(second.toolResults),
    executed: second.toolCalls.every((call) => call.providerExecuted),
  };
}

async function streamed() {
  const first = await generateText({ ...common, prompt: "collect the measurements" });
  const result = streamText({ ...common, prompt: "add them up", ...after(first) });
  const parts = [];
  for await (const part of result.fullStream) {
    if (part.type === "error") throw part.error;
    parts.push(part);
  }
  return {
    said: await result.text,
    printed: printed(parts.filter((part) => part.type === "tool-result")),
    finish: await result.finishReason,
  };
}

async function steps(prompt, store) {
  const result = await generateText({
    ...common,
    tools: { shell, get_weather: weather },
    prompt,
    stopWhen: (isStepCount ?? stepCountIs)(4),
    providerOptions: { openai: { store } },
  });
  return { said: result.text, printed: printed(result.steps.flatMap((step) => step.toolResults)) };
}

async function history() {
  const messages = [{ role: "user", content: "collect the measurements" }];
  const first = await generateText({ ...common, messages });
  messages.push(...first.response.messages, { role: "user", content: "say hello" });
  return (await generateText({ ...common, messages })).text;
}

async function python() {
  const tools = { code_interpreter: provider.tools.codeInterpreter({}) };
  const first = await generateText({ ...common, tools, prompt: "keep the numbers" });
  const second = await generateText({ ...common, tools, prompt: "sum the numbers", ...after(first) });
  const again = streamText({ ...common, tools, prompt: "sum the numbers", ...after(second) });
  for await (const part of again.fullStream) {
    if (part.type === "error") throw part.error;
  }
  const logs = [first, second].flatMap((each) =>
    each.toolResults.flatMap((result) => result.output.outputs.map((output) => output.logs)),
  );
  return { said: [first.text, second.text, await again.text], logs };
}

async function web() {
  const tools = { web_search: provider.tools.webSearch({}) };
  const first = await generateText({ ...common, tools, prompt: "look up the tides" });
  const second = streamText({ ...common, tools, prompt: "look up the moon", ...after(first) });
  const cited = [];
  for await (const part of second.fullStream) {
    if (part.type === "error") throw part.error;
    if (part.type === "source") cited.push(part.url);
  }
  const found = first.toolResults.map((result) => result.output.sources.length);
  return { said: [first.text.slice(0, 19), await second.text], found, cited: cited.at(-1) };
}

async function documents() {
  const tools = { file_search: provider.tools.fileSearch({ vectorStoreIds: [process.env.STORE] }) };
  const first = await generateText({ ...common, tools, prompt: "find the coolant" });
  const second = streamText({ ...common, tools, prompt: "find the wind", ...after(first) });
  const cited = [];
  for await (const part of second.fullStream) {
    if (part.type === "error") throw part.error;
    if (part.type === "source") cited.push(part.filename);
  }
  const queries = first.toolResults.map((result) => result.output.queries);
  return { said: [first.text, await second.text], queries, cited: [first.sources[0].filename, ...cited] };
}

const saw = {};
for (const [name, run] of Object.entries({
  twoTurns,
  streamed,
  stored: () => steps("compare with the weather", true),
  unstored: () => steps("both at once", false),
  history,
  python,
  web,
  documents,
})) {
  saw[name] = await run().catch((error) => ({ error: `${error.stack}\n${error.responseBody ?? ""}` }));
}
console.log(JSON.stringify(saw));
