/** A line that shows a transfer: what is done, how far it is, and a button that stops it. */

import type { TranslationBundle } from "@jupyterlab/translation";

import { Refused } from "../connection/messages";
import { button, element, readable } from "../dom";
import { Stopped, type Transfer } from "./read";

export class TransferLine implements Transfer {
  readonly node = element("div", "jp-agent-transfer");

  constructor(
    text: string,
    private readonly _trans: TranslationBundle,
  ) {
    this.node.setAttribute("role", "status");
    this._text = element("span", "jp-agent-transfer-text", this.node);
    this._bar = element("progress", "", this.node);
    this._bar.max = 1;
    this._bar.value = 0;
    this.say(text);
    const stop = () => {
      this.stopped = true;
    };
    this._button = button(_trans.__("Cancel"), this.node, stop);
  }

  stopped = false;

  say(text: string): void {
    this._text.textContent = readable(text);
    this._bar.setAttribute("aria-label", this._text.textContent);
  }

  progress(part: number): void {
    this._bar.value = part;
  }

  /** Carries out a transfer. The line goes when it has ended, or says why it failed. */
  async carry(work: (transfer: Transfer) => Promise<void>, failed: (why: string) => string): Promise<void> {
    try {
      await work(this);
      this.node.remove();
    } catch (error) {
      if (error instanceof Stopped) {
        this.node.remove();
        return;
      }
      this._bar.remove();
      this.node.classList.add("jp-agent-bad");
      this.say(failed(reasonOf(error)));
      this._button.replaceWith();
      button(this._trans.__("Close"), this.node, () => this.node.remove());
    }
  }

  private readonly _text: HTMLElement;
  private readonly _bar: HTMLProgressElement;
  private readonly _button: HTMLButtonElement;
}

/** What went wrong, and the next step if the kernel said one. */
export function reasonOf(error: unknown): string {
  if (error instanceof Refused && error.hint) return `${error.message} ${error.hint}`;
  return error instanceof Error ? error.message : String(error);
}
