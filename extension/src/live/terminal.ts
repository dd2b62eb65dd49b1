/** A scrolling pane with the output of a command. */

import { element } from "../dom";
import { Look } from "./look";
import { spelled, TOKEN } from "./text";

const LINES = 1000; // kept by a terminal
const LINE_LENGTH = 2000; // characters; a longer line continues on the next
const LINE_SPANS = 100; // changes of style in one line; after that the last style stays
const UNFINISHED = 200; // characters of an escape sequence that may not have arrived yet

// eslint-disable-next-line no-control-regex
const OPEN_END = /(?:\x1b(?:\[[0-?]*[ -/]*|[\]PX^_][^\x07\x1b]*\x1b?|[ -/]*)|\r)$/;

/** It stays at its end unless the user has scrolled away. */
export class Terminal {
  readonly node: HTMLElement;

  constructor(className: string, label: string, parent: HTMLElement) {
    this.node = element("div", `agent-live-terminal ${className}`, parent);
    this.node.tabIndex = 0; // can be scrolled with the keyboard
    this.node.setAttribute("role", "log");
    this.node.setAttribute("aria-live", "off"); // screen readers cannot follow fast output
    this.node.setAttribute("aria-label", label);
    this.node.addEventListener("scroll", () => {
      const { scrollHeight, scrollTop, clientHeight } = this.node;
      this._sticks = scrollHeight - scrollTop - clientHeight < 30;
    });
    this._note = element("div", "agent-live-quiet");
    this._line = element("div", "agent-live-line");
    this.reset(false);
  }

  /** Empties the pane. `cut`: what follows is not the beginning. */
  reset(cut: boolean): void {
    this._note.textContent = cut ? "… earlier output is not shown while it runs" : "";
    this._note.hidden = !cut;
    this.node.replaceChildren(this._note);
    this._dropped = 0;
    this._rest = "";
    this._look = new Look();
    this._newLine();
  }

  write(added: string): void {
    const text = this._rest + added;
    this._rest = OPEN_END.exec(text.slice(-UNFINISHED))?.[0] ?? "";
    for (const token of text.slice(0, text.length - this._rest.length).matchAll(TOKEN)) this._take(token);
    if (this._dropped > 0) {
      const lines = this._dropped.toLocaleString("en");
      this._note.textContent = `… ${lines} earlier lines are not shown while it runs`;
      this._note.hidden = false;
    }
    if (this._sticks) this.node.scrollTop = this.node.scrollHeight;
  }

  private _take([token, parameters, final]: RegExpExecArray): void {
    if (token.endsWith("\n")) this._newLine();
    else if (token === "\r") this._returned = true;
    else if (final === "m") {
      this._look.take(parameters ?? "");
      this._span = null;
    } else if (!token.startsWith("\x1b")) this._print(spelled(token));
  }

  private _newLine(): void {
    this._line = element("div", "agent-live-line", this.node);
    this._clearLine();
    if (this.node.childElementCount > LINES + 1) {
      this.node.children[1]?.remove();
      this._dropped += 1;
    }
  }

  private _clearLine(): void {
    this._line.replaceChildren();
    this._length = this._spans = 0;
    this._span = null;
    this._returned = false;
  }

  private _print(text: string): void {
    if (this._returned) this._clearLine();
    for (let at = 0; at < text.length;) {
      if (this._length >= LINE_LENGTH) this._newLine();
      const piece = text.slice(at, at + LINE_LENGTH - this._length);
      this._place().append(piece);
      this._length += piece.length;
      at += piece.length;
    }
  }

  /** Where text of the present look goes on this line. */
  private _place(): Element {
    const last = this._line.lastElementChild;
    if (this._span || (last && this._spans >= LINE_SPANS)) return this._span ?? last ?? this._line;
    this._span = element("span", "", this._line);
    this._look.dress(this._span);
    this._spans += 1;
    return this._span;
  }

  private readonly _note: HTMLElement;
  private _line: HTMLElement;
  private _span: HTMLElement | null = null;
  private _look = new Look();
  private _sticks = true;
  private _returned = false;
  private _rest = "";
  private _dropped = 0;
  private _length = 0;
  private _spans = 0;
}
