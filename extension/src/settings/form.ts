/** A form with labelled fields. What the kernel refuses is said at its field, and nothing typed is lost. */

import type { TranslationBundle } from "@jupyterlab/translation";

import { reason, Refused } from "../connection/messages";
import { button, element } from "../dom";

type Control = HTMLInputElement | HTMLTextAreaElement | HTMLSelectElement;
export type Values = Record<string, string>;

interface Field {
  readonly control: Control;
  readonly wrong: HTMLElement;
  shown: string;
}

/** What the API calls a field that the form calls otherwise. */
const ALIASES: Readonly<Record<string, string>> = { memory_limit: "memory", allowed_domains: "hosts" };
let made = 0;

export class Form {
  readonly node: HTMLFormElement;

  /** `send` gets the values when the person presses the button; what it rejects with is shown. */
  constructor(
    title: string,
    private readonly _trans: TranslationBundle,
    private readonly _send: (values: Values) => Promise<unknown>,
  ) {
    this.node = element("form", "jp-agent-form");
    this.node.noValidate = true;
    this.node.setAttribute("aria-label", title);
    element("h3", "jp-agent-form-title", this.node, title);
    this._body = element("div", "jp-agent-form-body", this.node);
    this._row = element("div", "jp-agent-row", this.node);
    this._said = element("div", "jp-agent-form-said", this.node);
    this._said.setAttribute("role", "status");
    this.node.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.run(() => this._send(this.values));
    });
  }

  /** Where sections put what is not a field. */
  get body(): HTMLElement {
    return this._body;
  }

  get values(): Values {
    return Object.fromEntries([...this._fields].map(([name, { control }]) => [name, control.value.trim()]));
  }

  /** Adds a field with a label, and `help` below it. */
  field<C extends Control>(name: string, label: string, control: C, help = ""): C {
    made += 1;
    control.id = `jp-agent-field-${made}`;
    control.classList.add("jp-agent-input");
    const box = element("div", "jp-agent-field", this._body);
    element("label", "jp-agent-label", box, label).htmlFor = control.id;
    box.append(control);
    if (help) element("div", "jp-agent-help", box, help);
    const wrong = element("div", "jp-agent-wrong", box);
    wrong.id = `${control.id}-wrong`;
    wrong.setAttribute("role", "alert");
    this._fields.set(name, { control, wrong, shown: control.value });
    return control;
  }

  /** Adds the button that sends the form. */
  submit(label: string): void {
    element("button", "jp-agent-button jp-agent-main", this._row, label).type = "submit";
  }

  /** Adds a button that does something else. */
  action(label: string, act: (values: Values) => Promise<unknown>, className = ""): void {
    button(label, this._row, () => void this.run(() => act(this.values)), className);
  }

  /** Shows the values in force. A field that the person has changed meanwhile keeps what was typed. */
  show(values: Values): void {
    for (const [name, value] of Object.entries(values)) {
      const field = this._fields.get(name);
      if (!field) continue;
      if (field.control.value === field.shown) field.control.value = value;
      field.shown = value;
    }
  }

  /** Puts values into fields, as if the person had typed them. */
  put(values: Values): void {
    for (const [name, value] of Object.entries(values)) {
      const field = this._fields.get(name);
      if (field) field.control.value = value;
    }
  }

  /** Takes what the person has typed as shown: the next values in force replace it. */
  settle(): void {
    for (const field of this._fields.values()) field.shown = field.control.value;
  }

  /** Says something below the fields. */
  say(text: string): void {
    this._said.textContent = text;
  }

  /** Does something for the person, and shows at its field why it failed. `done` may return what to say. */
  async run(act: () => Promise<unknown>): Promise<void> {
    this._clear();
    const buttons = this._row.querySelectorAll("button");
    for (const each of buttons) each.disabled = true;
    this.say(this._trans.__("One moment …"));
    try {
      const said = await act();
      this.say(typeof said === "string" ? said : this._trans.__("Saved."));
    } catch (error) {
      this._fail(error);
    }
    for (const each of buttons) each.disabled = false;
  }

  private _clear(): void {
    for (const { control, wrong } of this._fields.values()) {
      wrong.textContent = "";
      control.removeAttribute("aria-invalid");
      control.removeAttribute("aria-describedby");
    }
  }

  private _fail(error: unknown): void {
    const named = error instanceof Refused ? (error.field.split(".").pop() ?? "") : "";
    const field = this._fields.get(ALIASES[named] ?? named);
    if (!field) {
      this.say(reason(error));
      return;
    }
    this.say("");
    field.wrong.textContent = reason(error);
    field.control.setAttribute("aria-invalid", "true");
    field.control.setAttribute("aria-describedby", field.wrong.id);
    field.control.focus();
  }

  private readonly _body: HTMLElement;
  private readonly _row: HTMLElement;
  private readonly _said: HTMLElement;
  private readonly _fields = new Map<string, Field>();
}

/** A field of one line. Numbers are text too: an invalid one is refused, not lost. */
export function line(placeholder = ""): HTMLInputElement {
  const control = element("input", "");
  control.type = "text";
  control.placeholder = placeholder;
  control.autocomplete = "off";
  control.spellcheck = false;
  return control;
}

export function area(rows: number, placeholder = ""): HTMLTextAreaElement {
  const control = element("textarea", "");
  control.rows = rows;
  control.placeholder = placeholder;
  return control;
}

/** A choice: pairs of value and label. */
export function choice(options: readonly (readonly [string, string])[]): HTMLSelectElement {
  const control = element("select", "");
  fill(control, options);
  return control;
}

/** Replaces the options of a choice, and keeps what is chosen if it is still there. */
export function fill(control: HTMLSelectElement, options: readonly (readonly [string, string])[]): void {
  const chosen = control.value;
  control.replaceChildren();
  for (const [value, label] of options) element("option", "", control, label).value = value;
  if (options.some(([value]) => value === chosen)) control.value = chosen;
}
