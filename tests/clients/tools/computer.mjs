// Vercel's AI SDK: its own loop over the steps, with a computer of its own, in two turns, the second streamed.
import { createOpenAI } from "@ai-sdk/openai";
import { generateText, isStepCount, stepCountIs, streamText } from "ai";

const provider = createOpenAI({ baseURL: process.env.OPENAI_BASE_URL });
const done = [];
const acknowledged = [];
const common = {
  model: provider.responses(process.env.MODEL),
  maxRetries: 0,
  tools: {
    computer: {
      ...provider.tools.computer({}),
      execute: async ({ actions, pendingSafetyChecks }) => {
        done.push(...actions);
        acknowledged.push(...pendingSafetyChecks);
        const output = { type: "computer_screenshot", imageUrl: process.env.PICTURE };
        return { output, acknowledgedSafetyChecks: pendingSafetyChecks };
      },
    },
  },
  stopWhen: (isStepCount ?? stepCountIs)(4),
};
const messages = [{ role: "user", content: "Send it." }];
const first = await generateText({ ...common, messages });
messages.push(...first.responseMessages, { role: "user", content: "Look further down." });
const second = streamText({ ...common, messages });
for await (const part of second.fullStream) {
  if (part.type === "error") throw part.error;
}
console.log(JSON.stringify({ said: [first.text, await second.text], done, acknowledged }));
