/** The hosts that programs in the container may connect to, as `%network` has them. */

import { type Fields, text, texts } from "../connection/messages";
import { element, prose } from "../dom";
import { area, choice, Form } from "./form";
import type { Context, Section } from "./section";

export class NetworkSection implements Section {
  readonly form: Form;

  constructor(private readonly _context: Context) {
    const { ask, trans } = _context;
    this.form = new Form(trans.__("Network"), trans, async ({ type, hosts }) => {
      const given = { type: type ?? "", hosts: (hosts ?? "").split("\n").filter((each) => each.trim()) };
      this._draw(await ask("set_network", { ...given, new: this._new.checked }));
      this._new.checked = false;
      this.form.settle();
    });
    this._words = element("p", "jp-agent-words", this.form.body);
    const kinds = choice([
      ["disabled", trans.__("No network")],
      ["allowlist", trans.__("Only the hosts below")],
      ["ask", trans.__("The hosts below, and ask me about others")],
    ]);
    this.form.field("type", trans.__("Connections"), kinds);
    const help = trans.__("One per line: a host, *.domain, host:port, or a preset such as pip.");
    this.form.field("hosts", trans.__("Hosts"), area(3), help);
    const label = element("label", "jp-agent-choice", this.form.body);
    this._new = element("input", "", label);
    this._new.type = "checkbox";
    label.append(trans.__("Use a new, empty container"));
    this.form.submit(trans.__("Save"));
  }

  async show(): Promise<void> {
    this._draw(await this._context.ask("network"));
  }

  private _draw(found: Fields): void {
    this._words.replaceChildren();
    prose(`${text(found["in_words"])} ${text(found["operator_in_words"])}`, this._words);
    this.form.show({ type: text(found["type"]), hosts: texts(found["hosts"]).join("\n") });
  }

  private readonly _words: HTMLElement;
  private readonly _new: HTMLInputElement;
}
