// The live view of a running turn. Every text in it comes from a model or a command: it is only ever set as
// textContent, never as markup.

const WINDOW = 20000; // characters kept of one text, as on the kernel's side

function newStore() {
  return { items: new Map(), startedAt: Date.now(), ended: false, listeners: new Set() };
}

function itemOf(store, index, kind, done) {
  let item = store.items.get(index);
  if (!item) {
    item = { kind, done, parts: new Map() };
    store.items.set(index, item);
  }
  item.done = done;
  return item;
}

// A state is the whole truth: it replaces what deltas have built.
function takeState(store, state) {
  if (!state || !state.items) return;
  store.startedAt = Date.now() - 1000 * state.elapsed;
  store.ended = state.ended;
  store.items = new Map();
  for (const { index, kind, done, parts } of state.items) {
    const item = itemOf(store, index, kind, done);
    for (const [name, end, text] of parts) item.parts.set(name, { end, text });
  }
  notify(store);
}

function takeMessage(store, message) {
  for (const [index, kind, done] of message.items || []) itemOf(store, index, kind, done);
  for (const [index, name, position, length, text] of message.deltas || []) {
    const item = store.items.get(index);
    if (!item) continue; // the next state brings it
    const part = item.parts.get(name) || { end: 0, text: "" };
    const end = position + length;
    // What is known already is passed over; after a gap the next state helps. Positions count code points.
    if (end <= part.end || position > part.end) continue;
    const characters = Array.from(text);
    const known = Math.max(0, part.end - (end - characters.length));
    const added = characters.slice(known).join("");
    item.parts.set(name, { end, text: (part.text + added).slice(-WINDOW) });
  }
  notify(store);
}

function notify(store) {
  for (const listener of store.listeners) listener();
}

function element(tag, className, parent) {
  const made = document.createElement(tag);
  made.className = className;
  if (parent) parent.append(made);
  return made;
}

// Control sequences of terminals mean nothing here.
function readable(text) {
  return text
    .replace(/\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[ -/]*[0-~]/g, "")
    .replace(/\r\n/g, "\n")
    .replace(/[^\n]*\r(?!\n)/g, "")
    .replace(/[\u202a-\u202e\u2066-\u2069]/g, "\ufffd");
}

function partsOf(item, prefix) {
  return [...item.parts]
    .filter(([name]) => name === prefix || name.startsWith(prefix + "."))
    .map(([name, part]) => [name, readable(part.text)]);
}

// What an item shows, as [class, text] lines; the classes are styled in live.css.
const READERS = {
  reasoning: (item) => partsOf(item, "summary").map(([, text]) => ["agent-live-reasoning", text]),
  message: (item) => partsOf(item, "text").map(([, text]) => ["agent-live-message", text]),
  shell_call: (item) =>
    partsOf(item, "command").map(([, text]) => ["agent-live-command", "$ " + text.replace(/\n$/, "")]),
  shell_call_output: (item) => {
    const numbers = [...new Set([...item.parts.keys()].map((name) => Number(name.split(".")[1])))];
    return numbers
      .sort((a, b) => a - b)
      .flatMap((number) =>
        [
          ["stdout", "agent-live-stdout"],
          ["stderr", "agent-live-stderr"],
          ["outcome", "agent-live-outcome"],
        ].flatMap(([name, className]) => {
          const part = item.parts.get(`${name}.${number}`);
          if (!part || !part.text || part.text === "exit 0") return [];
          return [[className, readable(part.text)]];
        }),
      );
  },
};

function drawItem(node, item) {
  const lines = (READERS[item.kind] || (() => [["agent-live-reasoning", item.kind]]))(item);
  node.classList.toggle("agent-live-running", !item.done);
  lines.forEach(([className, text], number) => {
    const line = node.children[number] || element("div", "", node);
    if (line.className !== className) line.className = className;
    if (line.textContent === text) return;
    const atEnd = line.scrollHeight - line.scrollTop - line.clientHeight < 30;
    line.textContent = text;
    if (atEnd) line.scrollTop = line.scrollHeight;
  });
  while (node.children.length > lines.length) node.lastChild.remove();
}

function elapsed(store) {
  const seconds = Math.max(0, Math.floor((Date.now() - store.startedAt) / 1000));
  return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

// A function, so that each widget has a store of its own for all its views.
export default () => {
  const store = newStore();
  return {
    initialize({ model }) {
      // Here, not in render: deltas may come before the first view does.
      const onState = () => takeState(store, model.get("state"));
      const onMessage = (message) => takeMessage(store, message);
      model.on("change:state", onState);
      model.on("msg:custom", onMessage);
      onState();
      return () => {
        model.off("change:state", onState);
        model.off("msg:custom", onMessage);
      };
    },

    render({ model, el }) {
      const root = element("div", "agent-live", el);
      const head = element("div", "agent-live-head", root);
      element("span", "agent-live-dot", head);
      const status = element("span", "agent-live-status", head);
      const stop = element("button", "agent-live-stop", head);
      stop.textContent = "Stop";
      stop.title = "Stop this turn; what was done is kept";
      stop.addEventListener("click", () => {
        stop.disabled = true;
        stop.textContent = "Stopping…";
        model.send({ type: "stop" });
      });
      const hint = element("div", "agent-live-hint", root);
      hint.textContent =
        "This page was reloaded while the turn ran, so the notebook does not have its outputs; this is the kernel's view of it.";
      const body = element("div", "agent-live-body", root);
      const nodes = new Map();
      let frame = 0;

      const draw = () => {
        frame = 0;
        root.classList.toggle("agent-live-ended", store.ended);
        if (store.ended) status.textContent = `Ended · ${elapsed(store)}`;
        for (const [index, node] of nodes) {
          if (!store.items.has(index)) {
            node.remove();
            nodes.delete(index);
          }
        }
        for (const [index, item] of store.items) {
          if (!nodes.has(index)) nodes.set(index, element("div", `agent-live-item agent-live-${item.kind}-item`, body));
          drawItem(nodes.get(index), item);
        }
      };
      const schedule = () => {
        frame = frame || requestAnimationFrame(draw);
      };
      const tick = () => {
        if (store.ended) return;
        status.textContent = `Working · ${elapsed(store)}`;
      };
      store.listeners.add(schedule);
      const clock = setInterval(tick, 1000);
      tick();
      draw();
      return () => {
        store.listeners.delete(schedule);
        clearInterval(clock);
        cancelAnimationFrame(frame);
      };
    },
  };
};
