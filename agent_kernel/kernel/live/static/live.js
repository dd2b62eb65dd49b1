// The live view of a running turn: the state from the kernel (store), its drawing, and the person's actions.

const WINDOW = 20000; // characters kept of one text, as on the kernel's side
const PATIENCE = 8000; // milliseconds to wait for the kernel's answer to an action

function newStore() {
  return {
    items: new Map(),
    tokens: [0, 0],
    question: null,
    step: "", // what is being done before the model is asked
    startedAt: Date.now(),
    ended: false,
    seconds: 0,
    listeners: new Set(),
    waiting: new Map(),
    asked: 0,
  };
}

function seconds(store) {
  return store.ended ? store.seconds : Math.max(0, (Date.now() - store.startedAt) / 1000);
}

function takeItem(store, { index, kind, name, call, done, at }) {
  const item = store.items.get(index) ?? { parts: new Map() };
  store.items.set(index, Object.assign(item, { kind, name, call, done, at }));
  return item;
}

// Takes the characters of a part that end at position `end`. Positions count code points, as Python does. Known
// characters are skipped; after a gap the part starts again with the given text, until a state fills the gap.
function takeText(item, name, end, text) {
  const part = item.parts.get(name) ?? { start: 0, end: 0, text: "", total: 0, made: 0 };
  item.parts.set(name, part);
  const characters = Array.from(text);
  const start = end - characters.length;
  if (start < part.start && part.start <= end && part.total < WINDOW) {
    restart(part, start, characters.slice(0, part.start - start).join("") + part.text);
  }
  if (end <= part.end) return;
  if (start > part.end) restart(part, start, "");
  const added = start < part.end ? characters.slice(part.end - start).join("") : text;
  part.text = (part.text + added).slice(-WINDOW);
  part.total += added.length;
  part.end = end;
}

// `start` is the position of the first character since the last gap.
function restart(part, start, text) {
  Object.assign(part, { start, text, total: text.length, made: part.made + 1 });
}

// A state is complete, except for what was dropped to keep it small.
function takeState(store, state) {
  if (!state || !state.items) return;
  store.startedAt = Date.now() - 1000 * state.elapsed;
  store.seconds = state.elapsed;
  store.ended = state.ended;
  store.tokens = state.tokens;
  store.question = state.question;
  store.step = state.step ?? "";
  for (const outline of state.items) {
    const item = takeItem(store, outline);
    for (const [name, end, text] of outline.parts) {
      const known = item.parts.get(name);
      // The room for all texts was used up: the messages that follow have what is missing here.
      const dropped = known && end - text.length > known.end && text.length < known.text.length;
      if (!dropped) takeText(item, name, end, text);
    }
  }
  if (state.items.length) dropBefore(store, state.items[0].index);
  notify(store);
}

function dropBefore(store, first) {
  for (const index of store.items.keys()) if (index < first) store.items.delete(index);
}

function takeMessage(store, message) {
  if ("answered" in message) {
    store.waiting.get(message.answered)?.(message.why);
    return;
  }
  if ("pictures" in message) {
    const item = store.items.get(message.pictures[0]);
    if (item) item.pictures = message.pictures[1];
    notify(store);
    return;
  }
  if ("step" in message) {
    store.step = message.step;
    notify(store);
    return;
  }
  store.tokens = message.tokens;
  for (const outline of message.items) takeItem(store, outline);
  for (const [index, name, end, text] of message.deltas) {
    const item = store.items.get(index);
    if (item) takeText(item, name, end, text); // otherwise the next state has it
  }
  dropBefore(store, message.first);
  notify(store);
}

function notify(store) {
  for (const listener of store.listeners) listener();
}

// Sends a person's action to the kernel. Resolves to null when it is done, or to the reason why it failed.
function act(store, model, what) {
  store.asked += 1;
  const id = `${Date.now()}.${store.asked}`; // other pages send requests too
  return new Promise((resolve) => {
    const late = "The kernel has not answered. Check that this page is connected to it, and try again.";
    const clock = setTimeout(() => resolve(late), PATIENCE);
    store.waiting.set(id, resolve);
    try {
      model.send({ ...what, id });
    } catch (error) {
      resolve(`The request could not be sent: ${error}`);
    }
  }).finally(() => store.waiting.delete(id));
}

function button(label, parent, onClick, className = "") {
  const made = element("button", `agent-live-button ${className}`, parent, label);
  made.type = "button";
  made.addEventListener("click", onClick);
  return made;
}

// Not a form, because the host page may handle form submission itself.
function onEnter(input, act) {
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.isComposing) act();
  });
}

// Performs `what` once, with the controls disabled until it ends; an error is shown in `said`.
async function commit(store, model, what, controls, said) {
  for (const control of controls) control.disabled = true;
  setText(said, "Sending …");
  const why = await act(store, model, what);
  setText(said, why ?? "");
  said.classList.toggle("agent-live-bad", why !== null);
  for (const control of controls) control.disabled = false;
  return why === null;
}

// Asks whether commands may run, or a connection may be made.
class Question {
  constructor(store, model, parent, question) {
    const node = (this.node = element("div", "agent-live-question", parent));
    node.setAttribute("role", "group");
    node.setAttribute("aria-label", "Approval");
    const several = question.commands.length > 1;
    const network = question.about === "network";
    const title = network ? "Allow this connection?" : several ? "Run these commands?" : "Run this command?";
    element("div", "agent-live-question-title", node, title);
    for (const command of question.commands) {
      const shown = element("pre", "agent-live-command", node);
      if (question.editable !== false) drawCommand(shown, command);
      else setText(shown, readable(command));
    }
    spans(element("div", "agent-live-reason", node), readable(question.reason), 0);
    const choices = element("div", "agent-live-row", node);
    const fields = element("div", "agent-live-fields", node);
    const said = element("div", "agent-live-reply", node);
    said.setAttribute("role", "alert");
    const decide = (answer) =>
      commit(store, model, { type: "decide", question: question.id, ...answer }, node.querySelectorAll("button"), said);
    const exactly = several ? "exactly these commands" : "exactly this command";
    const covered = network ? `connections to ${readable(question.commands[0])}` : readable(question.kind) || exactly;
    const words = network ? "Allow in this notebook" : "Allow this kind";
    const until = network ? "for this notebook’s container" : "until the kernel stops";
    const scope = `“${words}” allows ${covered}, ${until}.`;
    button("Allow once", choices, () => decide({ approve: true }), "agent-live-main");
    button(words, choices, () => decide({ approve: true, remember: true }));
    if (question.editable !== false) button("Edit …", choices, () => this.edit(fields, question, decide));
    button("Deny …", choices, () => this.deny(fields, decide), "agent-live-danger");
    const told = element("div", "agent-live-quiet", node);
    if (network) setText(told, scope); // a host's name is no Markdown
    else spans(told, scope, 0);
  }

  edit(fields, question, decide) {
    fields.replaceChildren();
    const inputs = question.commands.map((command, number) => {
      const input = element("textarea", "agent-live-input agent-live-code-input", fields);
      input.value = command;
      input.rows = Math.min(12, command.split("\n").length + 1);
      input.spellcheck = false;
      input.setAttribute("aria-label", `Command ${number + 1}`);
      return input;
    });
    const send = () => decide({ approve: true, commands: inputs.map((input) => input.value) });
    button("Run edited version", fields, send, "agent-live-main");
    inputs[0].focus();
  }

  deny(fields, decide) {
    fields.replaceChildren();
    const input = element("input", "agent-live-input", fields);
    input.placeholder = "Why, or what to do instead (sent to the model)";
    input.setAttribute("aria-label", "Reason");
    const send = () => decide({ approve: false, reason: input.value });
    onEnter(input, send);
    button("Deny", fields, send, "agent-live-danger");
    input.focus();
  }
}

// A line for sending a message to the running turn.
function steering(store, model, parent) {
  const row = element("div", "agent-live-row", parent);
  const input = element("input", "agent-live-input", row);
  input.placeholder = "Send a message to the running turn";
  input.setAttribute("aria-label", input.placeholder);
  const say = async () => {
    const text = input.value.trim();
    if (!text || send.disabled) return;
    if ((await commit(store, model, { type: "steer", text }, [send], said)) && input.value.trim() === text) input.value = "";
  };
  const send = button("Send", row, say);
  const said = element("div", "agent-live-reply", parent);
  said.setAttribute("role", "alert");
  onEnter(input, say);
}

function duration(store) {
  const whole = Math.floor(seconds(store));
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

function doing(store) {
  if (store.ended) return "Ended";
  if (store.question) return "Waiting for you";
  if (store.step) return readable(store.step);
  const open = [...store.items.values()].reverse().find((item) => !item.done);
  const known = { shell_call: "Writing a command", shell_call_output: "Running", message: "Answering" }[open?.kind];
  if (known) return known;
  return /_call(_output)?$/.test(open?.kind ?? "") ? "Using a tool" : "Thinking";
}

const HINT =
  "This page was opened while the turn was running, so the notebook does not have its outputs. This view comes from " +
  "the kernel. To add the outputs to the notebook, run %replay in a new cell.";

function drawView(store, model, el) {
  const root = element("section", "agent-live", el);
  root.setAttribute("aria-label", "Running turn");
  root.dataset.lmSuppressShortcuts = "true"; // Enter on a focused button presses the button
  const head = element("div", "agent-live-head", root);
  element("span", "agent-live-dot", head).setAttribute("aria-hidden", "true");
  const status = element("span", "agent-live-status", head);
  const told = element("span", "agent-live-unseen", head); // for screen readers: the activity, without the seconds
  told.setAttribute("role", "status");
  const stopping = element("span", "agent-live-reply");
  const end = async () => {
    if (await commit(store, model, { type: "stop" }, [stop], stopping)) {
      stop.disabled = true;
      setText(stopping, "Stopping …");
    }
  };
  const stop = button("Stop", head, end, "agent-live-stop agent-live-danger");
  stop.title = "Stop this turn and keep its work";
  head.append(stopping);
  const hint = element("div", "agent-live-hint agent-live-quiet", root, HINT);
  const items = new Items(root);
  const asked = element("div", "", root);
  const controls = element("div", "agent-live-controls", root);
  steering(store, model, controls);
  let question = null;

  const tick = () => {
    const [taken, given] = store.tokens;
    const tokens = taken + given ? ` · ${(taken + given).toLocaleString("en")} tokens` : "";
    setText(status, `${doing(store)} · ${duration(store)}${tokens}`);
    setText(told, doing(store));
    stop.hidden = store.ended;
    controls.hidden = store.ended || store.question !== null; // the question comes first
    hint.hidden = !store.ended;
    root.classList.toggle("agent-live-ended", store.ended);
  };
  const draw = () => {
    tick();
    items.draw(store, seconds(store));
    if (store.question?.id !== question) {
      question = store.question?.id ?? null;
      asked.replaceChildren();
      if (store.question) new Question(store, model, asked, store.question);
    }
  };
  return draw;
}

// A function, so that each widget has one store for all its views.
export default () => {
  const store = newStore();
  return {
    initialize({ model }) {
      // Here, not in render: deltas may arrive before the first view.
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
      const draw = drawView(store, model, el);
      let frame = 0;
      const schedule = () => {
        frame =
          frame ||
          requestAnimationFrame(() => {
            frame = 0;
            draw();
          });
      };
      store.listeners.add(schedule);
      const clock = setInterval(schedule, 1000);
      draw();
      return () => {
        store.listeners.delete(schedule);
        clearInterval(clock);
        cancelAnimationFrame(frame);
      };
    },
  };
};
