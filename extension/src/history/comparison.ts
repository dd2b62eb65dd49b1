/** Two branches side by side, in a tab: the prompts, answers and files of the cells that only one of them has. */

import type { TranslationBundle } from "@jupyterlab/translation";
import { Widget } from "@lumino/widgets";

import { count, type Fields, reason } from "../connection/messages";
import type { AgentNotebook } from "../connection/notebook";
import { button, element, readable } from "../dom";
import { historyIcon } from "../icons";
import type { Markdown } from "../live/markdown";
import { type Answered, readSides, type Side } from "./read";
import { cellName, filesOf, time } from "./words";

/** It shows the branches as they were when it was loaded. */
export class BranchComparison extends Widget {
  constructor(
    private readonly _notebook: AgentNotebook,
    private readonly _one: string,
    private readonly _other: string,
    private readonly _open: (tab: Widget) => void,
    private readonly _trans: TranslationBundle,
  ) {
    super();
    this.addClass("jp-agent-comparison");
    const title = _trans.__("%1 and %2", readable(_one), readable(_other));
    this.title.label = title;
    this.title.caption = _trans.__("Two branches of %1", _notebook.name);
    this.title.icon = historyIcon;
    this.title.closable = true;
    const bar = element("div", "jp-agent-row", this.node);
    element("h2", "jp-agent-panel-title", bar, title);
    button(_trans.__("Load again"), bar, () => void this.load());
    this._said = element("p", "jp-agent-words", this.node);
    this._said.setAttribute("role", "status");
    this._place = element("div", "jp-agent-scroll", this.node);
    this._place.tabIndex = 0;
    this._place.setAttribute("role", "region");
    this._place.setAttribute("aria-label", _trans.__("Cells of both branches"));
  }

  /** Loads the branches as they are now. What has failed is said, and the table stays as it was. */
  async load(): Promise<void> {
    this._said.textContent = this._trans.__("Loading …");
    try {
      const asked = this._notebook.ask("compare", { one: this._one, other: this._other });
      const [found, { Markdown }] = await Promise.all([
        asked,
        import(/* webpackChunkName: "markdown" */ "../live/markdown"),
      ]);
      if (!this.isDisposed) this._draw(found, Markdown);
    } catch (error) {
      this._said.textContent = readable(reason(error));
    }
  }

  private _draw(found: Fields, answer: typeof Markdown): void {
    const [one, other] = readSides(found);
    if (!one || !other) return;
    this._said.textContent = this._trans._n(
      "Both begin with the same cell. Here are those that come after it.",
      "Both begin with the same %1 cells. Here are those that come after them.",
      count(found["common"]),
    );
    this._place.replaceChildren();
    const table = element("table", "jp-agent-rows", this._place);
    const head = element("tr", "", element("thead", "", table));
    for (const side of [one, other]) this._head(side, head);
    const body = element("tbody", "", table);
    for (const pair of paired(one.cells, other.cells)) {
      const row = element("tr", "", body);
      for (const cell of pair) this._cell(cell, element("td", "", row), answer);
    }
  }

  private _head(side: Side, parent: HTMLElement): void {
    const { _trans: trans } = this;
    const head = element("th", "", parent, readable(side.name));
    head.scope = "col";
    const files = [...new Set(side.cells.flatMap((each) => each.files))].sort();
    const moreFiles = side.cells.reduce((sum, each) => sum + each.moreFiles, 0);
    const changed = filesOf({ files, moreFiles }, trans) || trans.__("none");
    element("div", "jp-agent-help", head, trans.__("Files changed: %1", changed));
    if (side.cells.length < side.count) {
      const first = trans.__("The first %1 of %2 cells", side.cells.length, side.count.toLocaleString("en"));
      element("div", "jp-agent-help", head, first);
    }
  }

  private _cell(cell: Answered | null, parent: HTMLElement, Answer: typeof Markdown): void {
    const { _trans: trans } = this;
    if (!cell) {
      element("span", "jp-agent-help", parent, trans.__("Not on this branch"));
      return;
    }
    const head = element("div", "jp-agent-row", parent);
    cellName(cell, trans.__("Cell [%1]", cell.number), this._notebook, this._open, head, trans);
    element("span", "jp-agent-help", head, time(cell.began));
    element("div", "jp-agent-comparison-prompt", parent, cell.prompt);
    for (const { text, isMarkdown } of cell.answers) {
      if (isMarkdown) new Answer(element("div", "jp-RenderedHTMLCommon", parent)).draw(text);
      else element("pre", "jp-agent-comparison-printed", parent, text);
    }
    if (!cell.stored) element("div", "jp-agent-help", parent, trans.__("Its answer is not kept any more."));
    const files = filesOf(cell, trans);
    if (files) element("div", "jp-agent-help", parent, trans.__("Files: %1", files));
  }

  private readonly _said: HTMLElement;
  private readonly _place: HTMLElement;
}

/** The cells of two branches in rows: runs of the same cell of the notebook stand side by side. */
function paired(
  one: readonly Answered[],
  other: readonly Answered[],
): (readonly [Answered | null, Answered | null])[] {
  const rest = [...other];
  const rows: [Answered | null, Answered | null][] = [];
  for (const left of one) {
    const at = left.cell === null ? -1 : rest.findIndex((each) => each.cell === left.cell);
    for (const each of rest.splice(0, Math.max(0, at))) rows.push([null, each]);
    rows.push([left, at < 0 ? null : (rest.shift() ?? null)]);
  }
  for (const each of rest) rows.push([null, each]);
  return rows;
}
