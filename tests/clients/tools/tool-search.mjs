// Vercel's AI SDK: a function that is found first, in two turns with its own loop over the steps.
import { createOpenAI } from "@ai-sdk/openai";
import { generateText, isStepCount, jsonSchema, stepCountIs, tool } from "ai";

const provider = createOpenAI({ baseURL: process.env.OPENAI_BASE_URL });
const asked = [];
const get_weather = tool({
  description: "Return the weather of a city.",
  inputSchema: jsonSchema({
    type: "object",
    properties: { city: { type: "string" } },
    required: ["city"],
    additionalProperties: false,
  }),
  providerOptions: { openai: { deferLoading: true } },
  execute: async ({ city }) => {
    asked.push(city);
    return `sun in ${city}`;
  },
});
const common = {
  model: provider.responses(process.env.MODEL),
  maxRetries: 0,
  tools: { tool_search: provider.tools.toolSearch({}), get_weather },
  stopWhen: (isStepCount ?? stepCountIs)(4),
};
const messages = [{ role: "user", content: "Rome?" }];
const first = await generateText({ ...common, messages });
messages.push(...first.responseMessages, { role: "user", content: "Oslo?" });
const second = await generateText({ ...common, messages });
console.log(JSON.stringify({ said: [first.text, second.text], asked }));
