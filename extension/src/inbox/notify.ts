/** Tells the person of questions that wait where they are not seen: in Lab, in the page's title, on the desktop. */

import { Notification } from "@jupyterlab/apputils";
import type { TranslationBundle } from "@jupyterlab/translation";

import { isHidden, type Waiting } from "./waiting";

const COUNTED = /^\(\d+\) /;

export class Notifier {
  constructor(
    private readonly _show: () => void,
    private readonly _trans: TranslationBundle,
  ) {}

  /** Takes the questions that wait now. `inboxIsSeen` if the person looks at the panel with their cards. */
  update(open: readonly Waiting[], inboxIsSeen: boolean): void {
    this._title(open.length);
    const ids = new Set(open.map(({ question }) => question.id));
    for (const [id, end] of this._told) {
      if (ids.has(id)) continue;
      end();
      this._told.delete(id);
    }
    for (const { name, question, isSeen } of open) {
      if (isSeen || inboxIsSeen)
        this._told.get(question.id)?.(); // the card is before the person's eyes
      else if (!this._told.has(question.id)) this._told.set(question.id, this._tell(name));
    }
  }

  /** Tells it once; what is returned takes it back. */
  private _tell(name: string): () => void {
    const message = this._trans.__("%1 is waiting for your approval.", name);
    const actions = [{ label: this._trans.__("Answer"), callback: this._show }];
    const inside = Notification.warning(message, { autoClose: false, actions });
    const outside = isHidden() ? onDesktop(message, this._show) : null;
    return () => {
      Notification.dismiss(inside);
      outside?.close();
    };
  }

  private _title(count: number): void {
    const bare = document.title.replace(COUNTED, "");
    const title = count > 0 ? `(${count}) ${bare}` : bare;
    if (document.title !== title) document.title = title;
  }

  private readonly _told = new Map<string, () => void>();
}

/** Whether the person can still be asked for permission to show notifications on the desktop. */
export function mayAsk(): boolean {
  return "Notification" in window && window.Notification.permission === "default";
}

/** Shows a notification on the desktop if the person has allowed it. It tells no command. */
function onDesktop(message: string, show: () => void): globalThis.Notification | null {
  if (!("Notification" in window) || window.Notification.permission !== "granted") return null;
  const made = new window.Notification("JupyterLab", { body: message });
  made.onclick = () => {
    window.focus();
    show();
    made.close();
  };
  return made;
}
