/** A part of the settings of one notebook. */

import type { TranslationBundle } from "@jupyterlab/translation";

import type { Arguments, Fields } from "../connection/messages";
import type { Form } from "./form";

export interface Section {
  readonly form: Form;
  /** Shows what is in force. `settings` is the kernel's answer to the request of that name. */
  show(settings: Fields): Promise<void> | void;
}

/** What a section needs: `ask` sends a request of the protocol, and rejects with `Refused`. */
export interface Context {
  readonly ask: (name: string, given?: Arguments) => Promise<Fields>;
  readonly trans: TranslationBundle;
}
