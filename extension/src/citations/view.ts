/** One citation: the passage, marked in what stands around it in its document. All of it is text of strangers. */

import type { TranslationBundle } from "@jupyterlab/translation";

import { reason, text } from "../connection/messages";
import type { AgentNotebook } from "../connection/notebook";
import { button, element, readable } from "../dom";
import type { NotebookView } from "../panel";
import { type Chosen, chosen, type Citation } from "./chosen";

/** Characters by which the kernel finds each end of the passage in its document. */
const SENT = 400;
/** Pixels of what stands before the passage that are seen above it. */
const ABOVE = 60;

export class CitationsView implements NotebookView {
  readonly node: HTMLElement;

  constructor(
    private readonly _notebook: AgentNotebook,
    private readonly _trans: TranslationBundle,
  ) {
    this.node = element("div", "jp-agent-citations-view");
    this._none = element("p", "jp-agent-words", this.node);
    this._none.textContent = _trans.__("Click a document below an answer to read what it cites.");
    this._bar = element("div", "jp-agent-row", this.node);
    button(_trans.__("Previous"), this._bar, () => this._step(-1));
    this._at = element("span", "", this._bar);
    this._at.setAttribute("role", "status");
    button(_trans.__("Next"), this._bar, () => this._step(1));
    this._head = element("h3", "jp-agent-form-title", this.node);
    this._said = element("p", "jp-agent-help", this.node);
    this._text = element("div", "jp-agent-passage", this.node);
    this._text.tabIndex = 0;
    this._text.setAttribute("role", "region");
    this._text.setAttribute("aria-label", _trans.__("The passage in its document"));
    chosen.changed.connect((_, notebook) => {
      if (notebook === _notebook) this.draw();
    });
  }

  draw(): void {
    const now = chosen.of(this._notebook);
    if (now === this._drawn && now) return;
    this._drawn = now;
    const citation = now?.citations[now.at];
    this._none.hidden = Boolean(citation);
    for (const each of [this._bar, this._head, this._said, this._text]) each.hidden = !citation;
    if (now && citation) void this._show(now, citation);
  }

  private _step(by: number): void {
    const now = chosen.of(this._notebook);
    if (!now) return;
    const of = now.citations.length;
    chosen.choose(this._notebook, now.citations, (now.at + by + of) % of);
  }

  private async _show(now: Chosen, citation: Citation): Promise<void> {
    const { name, place } = citation;
    this._at.textContent = this._trans.__("%1 of %2", now.at + 1, now.citations.length);
    this._head.textContent = readable(place ? `${name}, ${place}` : name);
    this._said.textContent = this._trans.__("Text of the document, from outside.");
    this._fill("", citation.text, "");
    try {
      const { file, text: whole } = citation;
      const given = { file, text: whole.slice(0, SENT), end: whole.slice(-SENT) };
      const found = await this._notebook.ask("passage", given);
      if (this._drawn === now) this._fill(text(found["before"]), citation.text, text(found["after"]));
    } catch (error) {
      if (this._drawn !== now) return;
      const why = readable(reason(error));
      this._said.textContent = this._trans.__("Only the passage, from outside, can be shown. %1", why);
    }
  }

  private _fill(before: string, passage: string, after: string): void {
    this._text.replaceChildren();
    element("span", "jp-agent-around", this._text, readable(before));
    const mark = element("mark", "jp-agent-cited", this._text, readable(passage));
    element("span", "jp-agent-around", this._text, readable(after));
    this._text.scrollTop = mark.offsetTop - this._text.offsetTop - ABOVE;
  }

  private readonly _none: HTMLElement;
  private readonly _bar: HTMLElement;
  private readonly _at: HTMLElement;
  private readonly _head: HTMLElement;
  private readonly _said: HTMLElement;
  private readonly _text: HTMLElement;
  private _drawn: Chosen | null = null;
}
