// Vercel's AI SDK: a skill that it uploads, and the shell that uses it in two turns.
import { createOpenAI } from "@ai-sdk/openai";
import { generateText } from "ai";

const provider = createOpenAI({ baseURL: process.env.OPENAI_BASE_URL });
const text = (data) => ({ type: "text", text: data });
const uploaded = await provider.skills().uploadSkill({
  files: [
    { path: "counting/SKILL.md", data: text("---\nname: counting\ndescription: Counts words.\n---\n") },
    { path: "counting/count.sh", data: text("#!/bin/sh\nwc -w < $1\n") },
  ],
});
const { providerReference } = uploaded;
const skills = [{ type: "skillReference", providerReference }];
const shell = provider.tools.shell({ environment: { type: "containerAuto", skills } });
const common = { model: provider.responses(process.env.MODEL), maxRetries: 0, tools: { shell } };
const first = await generateText({ ...common, prompt: "count with the skill" });
const second = await generateText({
  ...common,
  prompt: "try to change the skill",
  providerOptions: { openai: { previousResponseId: first.providerMetadata.openai.responseId } },
});
console.log(JSON.stringify({ said: [first.text, second.text], name: uploaded.name, version: uploaded.latestVersion }));
