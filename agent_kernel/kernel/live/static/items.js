// Draws the items of a turn. Each class redraws one item as it grows.

function partsOf(item, prefix) {
  return [...item.parts].filter(([name]) => name.startsWith(prefix + ".")).map(([, part]) => part.text);
}

function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

class Reasoning {
  constructor(parent) {
    this.node = element("details", "agent-live-reasoning", parent);
    this.node.open = true;
    const summary = element("summary", "", this.node, "Reasoning");
    summary.addEventListener("click", () => (this.chosen = true));
    this.texts = new Markdown(this.node);
  }

  draw(item) {
    const text = partsOf(item, "summary").join("\n\n");
    this.node.hidden = !text.trim();
    this.texts.draw(text);
    if (item.done && !this.chosen) this.node.open = false; // unless the person opened or closed it
  }
}

class Message {
  constructor(parent) {
    this.text = new Markdown(parent);
  }

  draw(item) {
    const part = item.parts.get("text");
    if (part && part.text !== this.drawn) this.text.draw((this.drawn = part.text));
  }
}

class Said {
  constructor(parent) {
    this.node = element("div", "agent-live-said", parent);
    element("span", "agent-live-quiet", this.node, "You: ");
    this.text = element("span", "", this.node);
  }

  draw(item) {
    setText(this.text, readable(item.parts.get("text")?.text ?? ""));
  }
}

class Decided {
  constructor(parent) {
    this.node = element("div", "agent-live-said agent-live-quiet", parent);
  }

  draw(item) {
    setText(this.node, readable(item.parts.get("text")?.text ?? ""));
  }
}

// An item of any other kind: its kind, and its texts by name.
class Generic {
  constructor(parent) {
    this.title = element("div", "agent-live-quiet", parent);
    this.node = element("div", "agent-live-generic", parent);
    this.parts = new Map();
  }

  draw(item) {
    setText(this.title, readable(item.name ? `${item.kind}: ${item.name}` : item.kind));
    for (const [name, part] of item.parts) {
      if (!this.parts.has(name)) {
        const text = element("pre", "agent-live-generic-text", this.node);
        text.setAttribute("aria-label", readable(name));
        this.parts.set(name, text);
      }
      setText(this.parts.get(name), readable(part.text));
    }
  }
}

// A stream of output, created with its first text.
class Stream {
  constructor(parent, name, label) {
    this.place = element("div", "", parent);
    this.name = name;
    this.label = label;
  }

  draw(part) {
    if (!part || !part.text) return;
    if (!this.terminal) {
      this.terminal = new Terminal(`agent-live-${this.name}`, this.label, this.place);
      this.made = part.made;
      this.written = 0;
    }
    const missing = part.total - this.written;
    if (part.made !== this.made || missing > part.text.length) {
      this.terminal.reset(part.end > part.text.length);
      this.terminal.write(part.text);
    } else if (missing) this.terminal.write(part.text.slice(part.text.length - missing));
    this.made = part.made;
    this.written = part.total;
  }
}

// A command, its output, and how it ended.
class Command {
  constructor(parent, number) {
    this.number = number;
    this.node = element("div", "agent-live-command-block", parent);
    this.words = element("pre", "agent-live-command", this.node);
    const labels = [["stdout", "Output"], ["stderr", "Errors"]];
    this.streams = labels.map(([name, label]) => new Stream(this.node, name, `${label} of command ${number + 1}`));
    this.outcome = element("div", "agent-live-outcome", this.node);
  }

  draw(call, output, now) {
    const words = call?.parts.get(`command.${this.number}`)?.text;
    this.words.hidden = words === undefined;
    if (words !== undefined && words !== this.drawn) drawCommand(this.words, (this.drawn = words));
    if (!output) return;
    for (const stream of this.streams) stream.draw(output.parts.get(`${stream.name}.${this.number}`));
    const ended = output.parts.get(`outcome.${this.number}`)?.text;
    const seconds = output.parts.get(`seconds.${this.number}`)?.text;
    const running = !ended && !output.done && this.runs(output);
    this.outcome.classList.toggle("agent-live-bad", Boolean(ended) && ended !== "exit 0");
    this.outcome.classList.toggle("agent-live-running", running);
    if (ended) setText(this.outcome, seconds === undefined ? ended : `${ended} · ${seconds} s`);
    else setText(this.outcome, running ? `running · ${Math.max(0, Math.floor(now - output.at))} s` : "");
  }

  runs(output) {
    return this.number === partsOf(output, "outcome").length; // commands run one at a time
  }
}

class ShellCall {
  constructor(parent) {
    this.parent = parent;
    this.commands = [];
  }

  // `call` and `output` are two items that belong together; either may be missing.
  draw(call, output, now) {
    const numbers = [call, output].flatMap((item) => (item ? [...item.parts.keys()] : []));
    const count = Math.max(0, ...numbers.map((name) => 1 + Number(name.split(".")[1] || -1)));
    while (this.commands.length < count) this.commands.push(new Command(this.parent, this.commands.length));
    for (const command of this.commands) command.draw(call, output, now);
  }
}

// Code, and what it prints while it runs.
class CodeCall {
  constructor(parent) {
    this.node = element("div", "agent-live-command-block", parent);
    this.code = element("pre", "agent-live-command", this.node);
    this.stream = new Stream(this.node, "stdout", "Output of the code");
    this.pictures = element("div", "agent-live-pictures", this.node);
    this.outcome = element("div", "agent-live-outcome", this.node);
  }

  draw(item, now) {
    const code = item.parts.get("code")?.text ?? "";
    if (code !== this.drawn) drawPython(this.code, (this.drawn = code));
    this.stream.draw(item.parts.get("printed"));
    const pictures = item.pictures ?? [];
    for (const url of pictures.slice(this.pictures.childElementCount)) {
      Object.assign(element("img", "agent-live-picture", this.pictures), { src: url, alt: "picture" });
    }
    const ended = item.parts.get("outcome")?.text;
    const seconds = item.parts.get("seconds")?.text;
    const running = !item.done && item.parts.has("begun");
    this.outcome.classList.toggle("agent-live-running", running);
    this.outcome.classList.toggle("agent-live-bad", ended === "failed");
    if (running) setText(this.outcome, `running · ${Math.max(0, Math.floor(now - item.at))} s`);
    else setText(this.outcome, [ended, seconds && `${seconds} s`].filter(Boolean).join(" · "));
  }
}

class Nothing {
  draw() {}
}

const KINDS = {
  reasoning: Reasoning,
  message: Message,
  said: Said,
  decided: Decided,
  shell_call: ShellCall,
  shell_call_output: ShellCall,
  code_interpreter_call: CodeCall,
  mcp_approval_request: Nothing, // the open question is shown below the items
  mcp_approval_response: Nothing, // what was decided is an item of its own
};

// The list of a turn's items. An output is drawn with its call if both exist.
class Items {
  constructor(parent) {
    this.node = element("div", "agent-live-items", parent);
    this.drawn = new Map();
  }

  draw(store, now) {
    for (const [index, { node }] of this.drawn) {
      if (store.items.has(index)) continue;
      node.remove();
      this.drawn.delete(index);
    }
    const calls = new Map();
    for (const [index, item] of store.items) if (item.kind === "shell_call" && item.call) calls.set(item.call, index);
    const outputs = new Map();
    for (const item of store.items.values()) {
      if (item.kind === "shell_call_output" && calls.has(item.call)) outputs.set(item.call, item);
    }
    for (const [index, item] of store.items) {
      if (item.kind === "shell_call_output" && outputs.get(item.call) === item) continue;
      let { made } = this.drawn.get(index) ?? {};
      if (!made) {
        const node = element("div", "agent-live-item", this.node);
        made = new (KINDS[item.kind] ?? Generic)(node);
        this.drawn.set(index, { node, made });
      }
      if (item.kind === "shell_call") made.draw(item, outputs.get(item.call), now);
      else if (item.kind === "shell_call_output") made.draw(undefined, item, now);
      else made.draw(item, now);
    }
  }
}
