/** The button that copies something to the clipboard. */

import { Clipboard } from "@jupyterlab/apputils";
import type { TranslationBundle } from "@jupyterlab/translation";

import { button } from "../dom";

const TOLD_MILLISECONDS = 2000;

/** A button that copies a text, and says so. */
export function copyButton(
  label: string,
  parent: HTMLElement,
  read: () => string,
  trans: TranslationBundle,
): HTMLButtonElement {
  const made = button(label, parent, () => {
    Clipboard.copyToSystem(read());
    made.textContent = trans.__("Copied");
    setTimeout(() => {
      made.textContent = label;
    }, TOLD_MILLISECONDS);
  });
  made.setAttribute("aria-live", "polite");
  return made;
}
