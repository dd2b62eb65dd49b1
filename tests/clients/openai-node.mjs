// openai-node: two turns, plain, streamed and on a WebSocket; containers and their files; a function among the commands.
import OpenAI, { toFile } from "openai";
import { ResponsesWS } from "openai/resources/responses/ws";

const client = new OpenAI({ maxRetries: 0, timeout: 60_000 });
const shell = { type: "shell", environment: { type: "container_auto" } };
const weather = {
  type: "function",
  name: "get_weather",
  strict: true,
  parameters: {
    type: "object",
    properties: { city: { type: "string" } },
    required: ["city"],
    additionalProperties: false,
  },
};
const printed = (response) =>
  response.output
    .filter((item) => item.type === "shell_call_output")
    .flatMap((item) => item.output.map((each) => each.stdout));

async function twoTurns() {
  const first = await client.responses.create({ input: "collect the measurements", tools: [shell] });
  const second = await client.responses.create({
    input: "add them up",
    tools: [shell],
    previous_response_id: first.id,
  });
  return { said: [first.output_text, second.output_text], printed: printed(second) };
}

async function streamed() {
  let previous = null;
  for await (const event of await client.responses.create({
    input: "collect the measurements",
    tools: [shell],
    stream: true,
  })) {
    if (event.type === "response.completed") previous = event.response.id;
  }
  const types = new Set();
  const stream = client.responses
    .stream({ input: "add them up", tools: [shell], previous_response_id: previous })
    .on("event", (event) => types.add(event.type));
  const final = await stream.finalResponse();
  return { said: final.output_text, printed: printed(final), types: [...types] };
}

async function files() {
  const container = await client.containers.create({ name: "from node" });
  await client.containers.files.create(container.id, { file: await toFile(Buffer.from("a,b\n1,2\n"), "ü.csv") });
  await client.responses.create({
    input: "collect the measurements",
    tools: [{ type: "shell", environment: { type: "container_reference", container_id: container.id } }],
  });
  const found = {};
  for await (const file of client.containers.files.list(container.id)) {
    const content = await client.containers.files.content.retrieve(file.id, { container_id: container.id });
    found[file.path] = await content.text();
  }
  await client.containers.delete(container.id);
  const gone = await client.containers.retrieve(container.id).catch((error) => error.status);
  return { found, gone };
}

async function functions() {
  const first = await client.responses.create({ input: "both at once", tools: [shell, weather] });
  const call = first.output.find((item) => item.type === "function_call");
  const second = await client.responses.create({
    input: [{ type: "function_call_output", call_id: call.call_id, output: "30 degrees" }],
    tools: [shell, weather],
    previous_response_id: first.id,
  });
  return { printed: [...printed(first), ...printed(second)], said: second.output_text };
}

async function onASocket() {
  const socket = new ResponsesWS(client);
  const said = [];
  let previous = null;
  let last = null;
  for (const input of ["collect the measurements", "add them up"]) {
    last = await new Promise((resolve, reject) => {
      socket.once("response.completed", (event) => resolve(event.response));
      socket.once("error", reject);
      socket.send({ type: "response.create", input, tools: [shell], store: false, previous_response_id: previous });
    });
    previous = last.id;
    said.push(last.output.at(-1).content[0].text);
  }
  socket.close();
  return { said, printed: printed(last) };
}

async function failure() {
  const events = [];
  try {
    for await (const event of await client.responses.create({ input: "fail now", stream: true })) {
      events.push(event.type);
    }
  } catch (error) {
    return { events, message: error.message };
  }
  return { events };
}

console.log(
  JSON.stringify({
    twoTurns: await twoTurns(),
    streamed: await streamed(),
    files: await files(),
    functions: await functions(),
    onASocket: await onASocket(),
    failure: await failure(),
  }),
);
