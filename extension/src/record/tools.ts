/** The buttons of each output: copy it, ask about a failure, make a cell of a command, show a chart or a table. */

import type { CodeCell } from "@jupyterlab/cells";
import type { TranslationBundle } from "@jupyterlab/translation";

import type { Citation } from "../citations/chosen";
import { openOnClick } from "../citations/cited";
import type { AgentNotebook } from "../connection/notebook";
import { chartOf } from "../charts/charts";
import { ChartView } from "../charts/view";
import { button, element } from "../dom";
import { Explorer } from "../tables/explore";
import { hasTable } from "../tables/read";
import { copyButton } from "./copy";
import { insertBelow } from "./insert";
import { duration, secondsOf } from "./classify";
import type { Output } from "./outputs";
import { asCell, copied, failure, prompt } from "./words";

const TOOLS = "jp-agent-tools";
const BELOW = "jp-agent-below";

export class Tools {
  /** `cite` opens one of an answer's citations. */
  constructor(
    private readonly _notebook: AgentNotebook,
    private readonly _cell: CodeCell,
    private readonly _trans: TranslationBundle,
    private readonly _cite: (citations: readonly Citation[], at: number) => void,
  ) {}

  /** Puts the buttons on the outputs, which are those that the cell shows. */
  draw(outputs: readonly Output[]): void {
    this._cell.outputArea.widgets.forEach((widget, index) => {
      const output = outputs[index];
      const known = this._drawn.get(widget.node);
      if (known && known === output?.data) return;
      this._clear(widget.node);
      if (!output) return;
      this._drawn.set(widget.node, output.data);
      this._add(widget.node, output, outputs.slice(0, index));
    });
  }

  remove(): void {
    for (const { node } of this._cell.outputArea.widgets) {
      this._clear(node);
      this._drawn.delete(node);
    }
  }

  private _add(node: HTMLElement, output: Output, before: readonly Output[]): void {
    const clicks = new AbortController();
    this._clicks.set(node, clicks);
    openOnClick(node, output, before, this._cite, clicks.signal);
    const bar = element("div", TOOLS);
    const seconds = secondsOf(output.about);
    if (seconds.length) element("span", "jp-agent-took", bar, seconds.map(duration).join(", "));
    bar.setAttribute("role", "group");
    bar.setAttribute("aria-label", this._trans.__("Actions for this output"));
    this._addCopy(bar, output);
    this._addCell(bar, output);
    this._addQuestions(bar, output, before);
    const chart = chartOf(output, before);
    if (chart) bar.append(new ChartView(chart, node, this._trans).button);
    const table = !chart && hasTable(output);
    if (table) new Explorer(bar, node, output, this._notebook, this._trans);
    if (chart || table) bar.classList.add(BELOW);
    if (bar.childElementCount) node.append(bar);
  }

  private _addCopy(bar: HTMLElement, output: Output): void {
    if (!copied(output)) return;
    copyButton(this._trans.__("Copy"), bar, () => copied(output), this._trans);
  }

  private _addCell(bar: HTMLElement, output: Output): void {
    const made = asCell(output);
    if (!made) return;
    const label =
      made.kind === "python"
        ? this._trans.__("Make it a Python cell")
        : this._trans.__("Make it a shell cell");
    button(label, bar, () => insertBelow(this._notebook.panel.content, this._cell, made.source));
  }

  private _addQuestions(bar: HTMLElement, output: Output, before: readonly Output[]): void {
    const call = before.findLast((each) => each.about["call_id"] === output.about["call_id"] && each.item);
    const failed = failure(output, call);
    if (!failed) return;
    const ask = (wish: "fix" | "explain") => () =>
      insertBelow(this._notebook.panel.content, this._cell, prompt(failed, wish, this._trans));
    button(this._trans.__("Fix this"), bar, ask("fix"));
    button(this._trans.__("Explain"), bar, ask("explain"));
  }

  private _clear(node: HTMLElement): void {
    this._clicks.get(node)?.abort();
    node.classList.remove("jp-agent-explored");
    node.querySelectorAll(`:scope > .${TOOLS}, :scope > .${BELOW}`).forEach((each) => {
      each.remove();
    });
  }

  private readonly _drawn = new WeakMap<HTMLElement, Output["data"]>();
  private readonly _clicks = new WeakMap<HTMLElement, AbortController>();
}
