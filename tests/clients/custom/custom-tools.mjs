// Vercel's AI SDK: a custom tool of the client's own, in two turns with its own loop over the steps.
import { createOpenAI } from "@ai-sdk/openai";
import { generateText, isStepCount, stepCountIs } from "ai";

const provider = createOpenAI({ baseURL: process.env.OPENAI_BASE_URL });
const given = [];
const query = provider.tools.customTool({
  name: "query",
  description: "Queries.",
  format: { type: "grammar", syntax: "lark", definition: 'start: "SELECT" /(.|\\n)+/' },
  execute: async (text) => {
    given.push(text);
    return `ran ${text}`;
  },
});
const common = {
  model: provider.responses(process.env.MODEL),
  maxRetries: 0,
  tools: { query },
  stopWhen: (isStepCount ?? stepCountIs)(3),
};
const messages = [{ role: "user", content: "Query it." }];
const first = await generateText({ ...common, messages });
messages.push(...first.responseMessages, { role: "user", content: "Again." });
const second = await generateText({ ...common, messages });
console.log(JSON.stringify({ said: [first.text, second.text], given }));
