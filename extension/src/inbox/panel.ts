/** The side panel with all questions that wait. */

import type { TranslationBundle } from "@jupyterlab/translation";
import { Widget } from "@lumino/widgets";

import { ApprovalCard } from "../approval/card";
import { button, element } from "../dom";
import { focusFirst } from "../panel";
import { mayAsk } from "./notify";
import type { Waiting } from "./waiting";

export class InboxPanel extends Widget {
  /** `seen` is called when the person shows the panel or hides it. */
  constructor(
    private readonly _trans: TranslationBundle,
    private readonly _seen: () => void,
  ) {
    super();
    this.addClass("jp-agent-inbox");
    element("h2", "jp-agent-inbox-title", this.node, _trans.__("Approvals"));
    this._empty = element(
      "p",
      "jp-agent-inbox-empty",
      this.node,
      _trans.__("Nothing is waiting for you. Commands that need your approval appear here."),
    );
    this._list = element("div", "jp-agent-inbox-list", this.node);
    if (mayAsk()) this._offer();
  }

  /** Shows the questions that wait now. Nothing changes under the person's hands in those that stay. */
  draw(open: readonly Waiting[]): void {
    const keys = new Set(open.map(({ key }) => key));
    for (const [key, entry] of this._drawn) {
      if (keys.has(key)) continue;
      entry.remove();
      this._drawn.delete(key);
    }
    for (const each of open) {
      const entry = this._drawn.get(each.key) ?? this._add(each);
      entry.setAttribute("aria-label", each.where);
      const link = entry.querySelector(".jp-agent-inbox-where");
      // The cell's place may change while it waits.
      if (link && link.textContent !== each.where) link.textContent = each.where;
    }
    this._empty.hidden = open.length > 0;
  }

  protected override onActivateRequest(): void {
    focusFirst(this.node);
  }

  protected override onAfterShow(): void {
    this._seen();
  }

  protected override onAfterHide(): void {
    this._seen();
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

  private _add({ key, question, show, decide }: Waiting): HTMLElement {
    const entry = element("section", "jp-agent-inbox-entry", this._list);
    button("", entry, show, "jp-agent-inbox-where").title = this._trans.__("Show this cell");
    entry.append(new ApprovalCard(question, decide, this._trans, "jp-agent-card").node);
    this._drawn.set(key, entry);
    return entry;
  }

  private readonly _empty: HTMLElement;
  private readonly _list: HTMLElement;
  private readonly _drawn = new Map<string, HTMLElement>();
}
