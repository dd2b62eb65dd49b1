/** The side panel with all questions that wait, of every open notebook. */

import type { TranslationBundle } from "@jupyterlab/translation";
import { Widget } from "@lumino/widgets";

import type { Arguments, Question } from "../connection/messages";
import type { AgentNotebook } from "../connection/notebook";
import type { IAgentNotebooks } from "../connection/plugin";
import { button, element } from "../dom";
import { Card } from "./card";
import { mayAsk } from "./notify";

/** A question that waits, and its notebook. */
export interface Waiting {
  readonly notebook: AgentNotebook;
  readonly question: Question;
}

/** All questions that wait. */
export function waiting(notebooks: IAgentNotebooks): Waiting[] {
  return notebooks.all.flatMap((notebook) =>
    (notebook.state?.questions ?? []).map((question) => ({ notebook, question })),
  );
}

export class InboxPanel extends Widget {
  constructor(
    private readonly _notebooks: IAgentNotebooks,
    private readonly _show: (notebook: AgentNotebook, cell: string | null) => void,
    private readonly _trans: TranslationBundle,
  ) {
    super();
    this.addClass("jp-agent-inbox");
    element("h2", "jp-agent-inbox-title", this.node, _trans.__("Approvals"));
    this._empty = element(
      "p",
      "jp-agent-inbox-empty",
      this.node,
      _trans.__("No turn waits for you. Commands that need your approval appear here."),
    );
    this._list = element("div", "jp-agent-inbox-list", this.node);
    if (mayAsk()) this._offer();
    _notebooks.changed.connect(this._draw, this);
    this._draw();
  }

  /** Offers notifications on the desktop: the browser asks only after the person wanted them. */
  private _offer(): void {
    const label = this._trans.__("Notify me when this window is hidden");
    const offer = button(label, this.node, () => {
      void window.Notification.requestPermission().then(() => {
        if (!mayAsk()) offer.remove();
      });
    });
  }

  private _draw(): void {
    const open = waiting(this._notebooks);
    const keys = new Set(open.map(keyOf));
    for (const [key, entry] of this._drawn) {
      if (keys.has(key)) continue;
      entry.remove();
      this._drawn.delete(key);
    }
    for (const each of open) {
      const entry = this._drawn.get(keyOf(each)) ?? this._add(each);
      this._name(entry, each);
    }
    this._empty.hidden = open.length > 0;
  }

  /** Says where the question is; the cell's place may change while it waits. */
  private _name(entry: HTMLElement, { notebook, question }: Waiting): void {
    const place = notebook.place(question.cell);
    const where = place
      ? this._trans.__("%1, cell %2 of %3", notebook.name, place.at, place.of)
      : notebook.name;
    entry.setAttribute("aria-label", where);
    const link = entry.querySelector(".jp-agent-inbox-where");
    if (link && link.textContent !== where) link.textContent = where;
  }

  private _add(each: Waiting): HTMLElement {
    const { notebook, question } = each;
    const entry = element("section", "jp-agent-inbox-entry", this._list);
    const show = () => this._show(notebook, question.cell);
    button("", entry, show, "jp-agent-inbox-where").title = this._trans.__("Show this cell");
    const decide = (answer: Arguments) => notebook.ask("decide", answer);
    entry.append(new Card(question, decide, this._trans).node);
    this._drawn.set(keyOf(each), entry);
    return entry;
  }

  private readonly _empty: HTMLElement;
  private readonly _list: HTMLElement;
  private readonly _drawn = new Map<string, HTMLElement>();
}

function keyOf({ notebook, question }: Waiting): string {
  return `${notebook.panel.id} ${question.id}`;
}
