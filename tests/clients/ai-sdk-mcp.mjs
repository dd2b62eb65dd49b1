// Vercel's AI SDK: tools.mcp, two turns.
import { createOpenAI } from "@ai-sdk/openai";
import { generateText } from "ai";

const provider = createOpenAI({ baseURL: process.env.OPENAI_BASE_URL });
const model = provider.responses(process.env.MODEL);
const tools = {
  mcp: provider.tools.mcp({ serverLabel: "calc", serverUrl: process.env.MCP_URL, requireApproval: "never" }),
};
const first = await generateText({ model, tools, maxRetries: 0, prompt: "add" });
const previousResponseId = first.providerMetadata.openai.responseId;
const providerOptions = { openai: { previousResponseId } };
const second = await generateText({ model, tools, maxRetries: 0, prompt: "add more", providerOptions });
const outputs = [first, second].flatMap((each) => each.toolResults.map((result) => result.output.output));
console.log(JSON.stringify({ said: [first.text, second.text], outputs }));
