/** Commands and code, what they print, and how they ended. */

import { element } from "../dom";
import { duration } from "../record/classify";
import { duration as elapsed } from "../status/words";
import { drawCommand, drawPython } from "./code";
import type { Item, Part } from "./store";
import { partsOf } from "./store";
import { Terminal } from "./terminal";
import { setText } from "./text";

/** Commands and their outputs. */
export class ShellCall {
  constructor(private readonly _parent: HTMLElement) {}

  /** `item` is the call, or the output of a call that is not known. */
  draw(item: Item, now: number, output?: Item): void {
    const call = item.kind === "shell_call" ? item : undefined;
    const printed = call ? output : item;
    const names = [...(call?.parts.keys() ?? []), ...(printed?.parts.keys() ?? [])];
    const count = Math.max(0, ...names.map((name) => 1 + Number(name.split(".")[1] ?? -1)));
    while (this._commands.length < count) {
      this._commands.push(new Command(this._parent, this._commands.length));
    }
    for (const command of this._commands) command.draw(call, printed, now);
  }

  private readonly _commands: Command[] = [];
}

class Command {
  constructor(
    parent: HTMLElement,
    private readonly _number: number,
  ) {
    const node = element("div", "agent-live-command-block", parent);
    this._words = element("pre", "agent-live-command", node);
    const label = `of command ${_number + 1}`;
    this._stdout = new Stream(node, "agent-live-stdout", `Output ${label}`);
    this._stderr = new Stream(node, "agent-live-stderr", `Errors ${label}`);
    this._outcome = element("div", "agent-live-outcome", node);
  }

  draw(call: Item | undefined, output: Item | undefined, now: number): void {
    const words = call?.parts.get(`command.${this._number}`)?.text;
    this._words.hidden = words === undefined;
    if (words !== undefined && words !== this._drawn) drawCommand(this._words, (this._drawn = words));
    if (!output) return;
    const part = (name: string) => output.parts.get(`${name}.${this._number}`);
    this._stdout.draw(part("stdout"));
    this._stderr.draw(part("stderr"));
    const ended = part("outcome")?.text ?? "";
    const isNext = this._number === partsOf(output, "outcome").length; // commands run one at a time
    const running = !ended && !output.done && isNext;
    showOutcome(this._outcome, running ? now - output.at : null, ended, part("seconds")?.text);
  }

  private readonly _words: HTMLElement;
  private readonly _stdout: Stream;
  private readonly _stderr: Stream;
  private readonly _outcome: HTMLElement;
  private _drawn: string | undefined;
}

/** Code, and what it prints while it runs. */
export class CodeCall {
  constructor(parent: HTMLElement) {
    const node = element("div", "agent-live-command-block", parent);
    this._code = element("pre", "agent-live-command", node);
    this._printed = new Stream(node, "agent-live-stdout", "Output of the code");
    this._pictures = new Pictures(node);
    this._outcome = element("div", "agent-live-outcome", node);
  }

  draw(item: Item, now: number): void {
    const code = item.parts.get("code")?.text ?? "";
    if (code !== this._drawn) drawPython(this._code, (this._drawn = code));
    this._printed.draw(item.parts.get("printed"));
    this._pictures.draw(item);
    const ended = item.parts.get("outcome")?.text ?? "";
    const running = !item.done && item.parts.has("begun");
    showOutcome(this._outcome, running ? now - item.at : null, ended, item.parts.get("seconds")?.text);
  }

  private readonly _code: HTMLElement;
  private readonly _printed: Stream;
  private readonly _pictures: Pictures;
  private readonly _outcome: HTMLElement;
  private _drawn = "";
}

/** The pictures of an item. More may come later, such as the screen with a place marked. */
export class Pictures {
  constructor(parent: HTMLElement) {
    this._node = element("div", "agent-live-pictures", parent);
  }

  draw(item: Item): void {
    for (const url of item.pictures.slice(this._node.childElementCount)) {
      Object.assign(element("img", "agent-live-picture", this._node), { src: url, alt: "picture" });
    }
  }

  private readonly _node: HTMLElement;
}

/** `running` are the seconds for which it has run so far, null when it does not run. */
function showOutcome(node: HTMLElement, running: number | null, ended: string, seconds?: string): void {
  const isGood = ended === "" || ended === "exit 0"; // not worth a word
  const words = [isGood ? "" : ended, seconds === undefined ? "" : duration(Number(seconds))];
  setText(node, (running === null ? words : ["running", elapsed(running)]).filter(Boolean).join(" · "));
  node.classList.toggle("agent-live-running", running !== null);
  node.classList.toggle("agent-live-bad", !isGood && !ended.startsWith("stopped"));
}

/** A stream of output, created with its first text. */
class Stream {
  constructor(
    parent: HTMLElement,
    private readonly _className: string,
    private readonly _label: string,
  ) {
    this._place = element("div", "", parent);
  }

  draw(part: Part | undefined): void {
    if (!part?.text) return;
    const terminal = (this._terminal ??= new Terminal(this._className, this._label, this._place));
    const missing = part.total - this._written;
    if (part.made !== (this._made ?? part.made) || missing > part.text.length) {
      terminal.reset(part.end > part.text.length);
      terminal.write(part.text);
    } else if (missing) terminal.write(part.text.slice(-missing));
    this._made = part.made;
    this._written = part.total;
  }

  private readonly _place: HTMLElement;
  private _terminal: Terminal | undefined;
  private _made: number | undefined;
  private _written = 0;
}
