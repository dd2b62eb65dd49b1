/** Folds the work of one cell to a line below its answer. Only how it is shown changes, never the outputs. */

import type { CodeCell } from "@jupyterlab/cells";
import type { TranslationBundle } from "@jupyterlab/translation";

import { element } from "../dom";
import { duration, type Parts, parts } from "./classify";
import type { Output } from "./outputs";

const ANSWER = "jp-agent-answer";
const WORK = "jp-agent-work";
const FOLDED = "jp-agent-folded";

export class Fold {
  constructor(
    private readonly _cell: CodeCell,
    private readonly _trans: TranslationBundle,
    private _shown: boolean,
  ) {
    this._line.type = "button";
    this._line.addEventListener("click", () => {
      this.show(!this._shown);
    });
    _cell.outputArea.node.addEventListener("click", this, true);
  }

  /** Folds the outputs, which are those that the cell shows; null while a live view is among them. */
  draw(outputs: readonly Output[] | null): void {
    this._mark(outputs && parts(outputs));
  }

  /** Shows the work, or folds it. */
  show(shown: boolean): void {
    this._shown = shown;
    this._mark(this._found);
  }

  remove(): void {
    this._cell.outputArea.node.removeEventListener("click", this, true);
    this._mark(null);
  }

  /** A link in the answer to an output that is folded shows the work first. */
  handleEvent(event: Event): void {
    const link = event.target instanceof Element ? event.target.closest('a[href*="#"]') : null;
    const target = link?.getAttribute("href")?.split("#")[1];
    if (!target || this._shown) return;
    const inside = this._cell.outputArea.node.querySelector(
      `[id="${CSS.escape(decodeURIComponent(target))}"]`,
    );
    if (inside?.closest(`.${WORK}`)) this.show(true);
  }

  private _mark(found: Parts | null): void {
    this._found = found;
    const { node, widgets } = this._cell.outputArea;
    const work = new Set(found?.work);
    widgets.forEach((widget, index) => {
      widget.node.classList.toggle(ANSWER, found?.answer === index);
      widget.node.classList.toggle(WORK, work.has(index));
    });
    node.classList.toggle("jp-agent-record", found !== null);
    node.classList.toggle(FOLDED, found !== null && !this._shown);
    if (!found) {
      this._line.remove();
      return;
    }
    this._line.textContent = this._words(found);
    this._line.setAttribute("aria-expanded", `${this._shown}`);
    this._line.title = this._shown ? this._trans.__("Hide the work") : this._trans.__("Show the work");
    if (this._line.parentElement !== node) node.append(this._line);
  }

  private _words({ commands, seconds }: Parts): string {
    const what =
      commands > 0
        ? this._trans._n("%1 command", "%1 commands", commands, commands)
        : this._trans.__("Reasoning");
    return seconds === null ? what : `${what}, ${duration(seconds)}`;
  }

  private readonly _line = element("button", "jp-agent-fold");
  private _found: Parts | null = null;
}
