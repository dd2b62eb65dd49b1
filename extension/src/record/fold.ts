/** Folds the work of one cell to a line below its answer. Only how it is shown changes, never the outputs. */

import type { CodeCell } from "@jupyterlab/cells";
import type { TranslationBundle } from "@jupyterlab/translation";

import { fields } from "../connection/messages";
import { element } from "../dom";
import { type Item, ITEM, type Parts, parts, WIDGET } from "./classify";

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
    const { outputArea } = _cell;
    outputArea.model.changed.connect(this._draw, this);
    outputArea.outputLengthChanged.connect(this._draw, this);
    outputArea.node.addEventListener("click", this, true);
    this._draw();
  }

  /** Shows the work, or folds it. */
  show(shown: boolean): void {
    this._shown = shown;
    this._draw();
  }

  remove(): void {
    if (this._cell.isDisposed) return;
    const { outputArea } = this._cell;
    outputArea.model.changed.disconnect(this._draw, this);
    outputArea.outputLengthChanged.disconnect(this._draw, this);
    outputArea.node.removeEventListener("click", this, true);
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

  private _draw(): void {
    if (!this._cell.isDisposed) this._mark(this._parts());
  }

  /** The parts of the outputs; null while a live view is among them. */
  private _parts(): Parts | null {
    const { model } = this._cell.outputArea;
    const items: Item[] = [];
    for (let index = 0; index < model.length; index++) {
      const { data } = model.get(index);
      if (WIDGET in data) return null;
      items.push(ITEM in data ? fields(data[ITEM]) : null);
    }
    return parts(items);
  }

  private _mark(found: Parts | null): void {
    const { node, widgets } = this._cell.outputArea;
    widgets.forEach((widget, index) => {
      widget.node.classList.toggle(ANSWER, found?.answer === index);
      widget.node.classList.toggle(WORK, found?.work.includes(index) === true);
    });
    node.classList.toggle("jp-agent-record", found !== null);
    node.classList.toggle(FOLDED, found !== null && !this._shown);
    if (!found) {
      this._line.remove();
      return;
    }
    const what =
      found.commands > 0
        ? this._trans._n("%1 command", "%1 commands", found.commands, found.commands)
        : this._trans.__("Reasoning");
    this._line.textContent = what;
    this._line.setAttribute("aria-expanded", `${this._shown}`);
    this._line.title = this._shown ? this._trans.__("Hide the work") : this._trans.__("Show the work");
    if (this._line.parentElement !== node) node.append(this._line);
  }

  private readonly _line = element("button", "jp-agent-fold");
}
