// Vercel's AI SDK: patches that the client applies, in two turns with its own loop over the steps.
import { createOpenAI } from "@ai-sdk/openai";
import { generateText, isStepCount, stepCountIs } from "ai";

const provider = createOpenAI({ baseURL: process.env.OPENAI_BASE_URL });
const files = {};
const operations = [];
const apply_patch = provider.tools.applyPatch({
  execute: async ({ operation }) => {
    operations.push(operation);
    const { type, path, diff } = operation;
    if (type === "delete_file") delete files[path];
    else if (type === "create_file") files[path] = diff.replaceAll(/^\+/gm, "");
    else {
      const [gone, come, kept] = diff.split("\n");
      if (!files[path].includes(gone.slice(1))) return { status: "failed", output: "It has no such line." };
      files[path] = files[path].replace(gone.slice(1), come.slice(1));
    }
    return { status: "completed" };
  },
});
const common = {
  model: provider.responses(process.env.MODEL),
  maxRetries: 0,
  tools: { apply_patch },
  stopWhen: (isStepCount ?? stepCountIs)(4),
};
const messages = [{ role: "user", content: "fix the report" }];
const first = await generateText({ ...common, messages });
const after = { ...files };
messages.push(...first.responseMessages, { role: "user", content: "clean up the report" });
const second = await generateText({ ...common, messages });
const types = operations.map((each) => each.type);
console.log(JSON.stringify({ said: [first.text, second.text], after, files, types }));
