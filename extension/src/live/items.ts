/** The items of a turn. Each class draws one kind of item again as it grows. */

import { element } from "../dom";
import { CodeCall, Pictures, ShellCall } from "./calls";
import { Markdown, sentence } from "./markdown";
import type { Question } from "./messages";
import type { Item } from "./store";
import { partsOf } from "./store";
import { readable, setText } from "./text";

const UNHEARD =
  "The model reads this after the current step. A command that does not end within seconds is stopped.";

/** Draws an item, and with a call its output; `now` are the seconds since the view was opened. */
export interface Drawing {
  draw(item: Item, now: number, output?: Item): void;
}

class Reasoning implements Drawing {
  constructor(parent: HTMLElement) {
    this._node = element("details", "agent-live-reasoning", parent);
    this._node.open = true;
    element("summary", "", this._node, "Reasoning").addEventListener("click", () => (this._chosen = true));
    this._texts = new Markdown(this._node);
  }

  draw(item: Item): void {
    const text = partsOf(item, "summary").join("\n\n");
    this._node.hidden = !text.trim();
    this._texts.draw(text);
    if (item.done && !this._chosen) this._node.open = false; // unless the user opened or closed it
  }

  private readonly _node: HTMLDetailsElement;
  private readonly _texts: Markdown;
  private _chosen = false;
}

class Message implements Drawing {
  constructor(parent: HTMLElement) {
    this._text = new Markdown(parent);
  }

  draw(item: Item): void {
    const text = item.parts.get("text")?.text;
    if (text !== undefined && text !== this._drawn) this._text.draw((this._drawn = text));
  }

  private readonly _text: Markdown;
  private _drawn = "";
}

/** What the user said to the running turn, and until the model has it, when that will be. */
class Said implements Drawing {
  constructor(parent: HTMLElement) {
    const node = element("div", "agent-live-said", parent);
    element("span", "agent-live-quiet", node, "You: ");
    this._text = element("span", "", node);
    this._when = element("div", "agent-live-quiet", node, UNHEARD);
  }

  draw(item: Item): void {
    setText(this._text, readable(item.parts.get("text")?.text ?? ""));
    this._when.hidden = item.done;
  }

  private readonly _text: HTMLElement;
  private readonly _when: HTMLElement;
}

/** What the user decided. */
class Decided implements Drawing {
  constructor(parent: HTMLElement) {
    this._node = element("div", "agent-live-said agent-live-quiet", parent);
  }

  draw(item: Item): void {
    const text = item.parts.get("text")?.text ?? "";
    if (text === this._drawn) return;
    this._node.replaceChildren();
    sentence(this._node, (this._drawn = text));
  }

  private readonly _node: HTMLElement;
  private _drawn = "";
}

/** What a reader calls the items of hosted tools. */
const TITLES: ReadonlyMap<string, string> = new Map(
  Object.entries({
    apply_patch_call: "Patch",
    apply_patch_call_output: "Result of the patch",
    computer_call: "Actions on the desktop",
    computer_call_output: "The screen",
    file_search_call: "Search in documents",
    function_call: "Function",
    function_call_output: "Result of the function",
    mcp_call: "MCP tool",
    mcp_list_tools: "Tools of an MCP server",
    web_search_call: "Web search",
  }),
);

/** An item of any other kind: its title, and its texts by name. */
class Generic implements Drawing {
  constructor(parent: HTMLElement) {
    this._title = element("div", "agent-live-quiet", parent);
    this._node = element("div", "agent-live-generic", parent);
    this._pictures = new Pictures(parent);
  }

  draw(item: Item): void {
    this._pictures.draw(item);
    const title = TITLES.get(item.kind) ?? item.kind;
    setText(this._title, readable(item.name ? `${title}: ${item.name}` : title));
    for (const [name, part] of item.parts) {
      const text = this._texts.get(name) ?? element("pre", "agent-live-generic-text", this._node);
      text.setAttribute("aria-label", readable(name));
      this._texts.set(name, text);
      setText(text, readable(part.text));
    }
  }

  private readonly _title: HTMLElement;
  private readonly _node: HTMLElement;
  private readonly _texts = new Map<string, HTMLElement>();
  private readonly _pictures: Pictures;
}

class Nothing implements Drawing {
  draw(): void {
    // Another part of the view shows it.
  }
}

const KINDS: ReadonlyMap<string, new (parent: HTMLElement) => Drawing> = new Map<
  string,
  new (parent: HTMLElement) => Drawing
>([
  ["reasoning", Reasoning],
  ["message", Message],
  ["said", Said],
  ["decided", Decided],
  ["shell_call", ShellCall],
  ["shell_call_output", ShellCall],
  ["code_interpreter_call", CodeCall],
  ["mcp_approval_request", Nothing], // the open question is shown below the items
  ["mcp_approval_response", Nothing], // what was decided is an item of its own
]);

/** The list of a turn's items. An output is drawn with its call if both exist. */
export class Items {
  constructor(parent: HTMLElement) {
    this._node = element("div", "agent-live-items", parent);
  }

  /** A call that `question` is about is hidden, because the question shows it. */
  draw(items: ReadonlyMap<number, Item>, now: number, question: Question | null): void {
    for (const [index, { node }] of this._drawn) {
      if (items.has(index)) continue;
      node.remove();
      this._drawn.delete(index);
    }
    const all = [...items.values()];
    const calls = new Set(
      all.filter((item) => item.kind === "shell_call" && item.call).map((item) => item.call),
    );
    const isOutput = (item: Item) => item.kind === "shell_call_output" && calls.has(item.call);
    const outputs = new Map(all.filter(isOutput).map((item) => [item.call, item]));
    for (const item of all) {
      const output = outputs.get(item.call);
      if (item === output) continue;
      const { node, drawing } = this._at(item);
      drawing.draw(item, now, output);
      node.hidden = question !== null && !output && isAbout(question, item);
    }
  }

  private _at(item: Item): Drawn {
    const known = this._drawn.get(item.index);
    if (known) return known;
    const node = element("div", "agent-live-item", this._node);
    const drawn = { node, drawing: new (KINDS.get(item.kind) ?? Generic)(node) };
    this._drawn.set(item.index, drawn);
    return drawn;
  }

  private readonly _node: HTMLElement;
  private readonly _drawn = new Map<number, Drawn>();
}

interface Drawn {
  readonly node: HTMLElement;
  readonly drawing: Drawing;
}

function isAbout({ commands }: Question, item: Item): boolean {
  const called = partsOf(item, "command");
  return called.length === commands.length && called.every((text, number) => text === commands[number]);
}
