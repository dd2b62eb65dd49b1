/** The card that asks whether commands may run, or a connection may be made: as in the live view. */

import type { TranslationBundle } from "@jupyterlab/translation";

import type { Arguments, Question } from "../connection/messages";
import { button, element, readable } from "../dom";

/** Sends a decision; rejects with the reason why it was not taken. */
export type Decide = (answer: Arguments) => Promise<unknown>;

export class Card {
  readonly node = element("div", "jp-agent-card");

  constructor(
    private readonly _question: Question,
    private readonly _decide: Decide,
    private readonly _trans: TranslationBundle,
  ) {
    const network = _question.about === "network";
    this.node.setAttribute("role", "group");
    this.node.setAttribute("aria-label", this._title());
    element("div", "jp-agent-card-title", this.node, this._title());
    for (const command of _question.commands) {
      element("pre", "jp-agent-card-command", this.node, readable(command)).tabIndex = 0;
    }
    element("div", "jp-agent-card-reason", this.node, plain(_question.reason));
    const choices = element("div", "jp-agent-card-row", this.node);
    this._fields = element("div", "jp-agent-card-fields", this.node);
    this._said = element("div", "jp-agent-card-said", this.node);
    this._said.setAttribute("role", "alert");
    const kind = network ? _trans.__("Allow in this notebook") : _trans.__("Allow this kind");
    const allow = (remember: boolean) => () => void this._send({ approve: true, remember });
    button(_trans.__("Allow once"), choices, allow(false), "jp-agent-main");
    button(kind, choices, allow(true));
    if (_question.editable) button(_trans.__("Edit …"), choices, () => this._edit());
    button(_trans.__("Deny …"), choices, () => this._deny(), "jp-agent-danger");
    element("div", "jp-agent-card-scope", this.node, this._scope(kind));
  }

  private _title(): string {
    if (this._question.about === "network") return this._trans.__("Allow this connection?");
    return this._question.commands.length > 1
      ? this._trans.__("Run these commands?")
      : this._trans.__("Run this command?");
  }

  private _scope(words: string): string {
    const { about, commands, kind } = this._question;
    if (about === "network") {
      const host = readable(commands[0] ?? "");
      return this._trans.__("“%1” allows connections to %2, for this notebook’s container.", words, host);
    }
    const covered = plain(kind) || this._trans.__("exactly this");
    return this._trans.__("“%1” allows %2, until the kernel stops.", words, covered);
  }

  private _edit(): void {
    this._fields.replaceChildren();
    const inputs = this._question.commands.map((command, number) => {
      const input = element("textarea", "jp-agent-input jp-agent-code", this._fields);
      input.value = command;
      input.rows = Math.min(12, command.split("\n").length + 1);
      input.spellcheck = false;
      input.setAttribute("aria-label", this._trans.__("Command %1", number + 1));
      return input;
    });
    const send = () => void this._send({ approve: true, commands: inputs.map((each) => each.value) });
    button(this._trans.__("Run edited version"), this._fields, send, "jp-agent-main");
    inputs[0]?.focus();
  }

  private _deny(): void {
    this._fields.replaceChildren();
    const input = element("input", "jp-agent-input", this._fields);
    input.placeholder = this._trans.__("Why, or what to do instead (sent to the model)");
    input.setAttribute("aria-label", this._trans.__("Reason"));
    const send = () => void this._send({ approve: false, reason: input.value });
    input.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.isComposing) send();
    });
    button(this._trans.__("Deny"), this._fields, send, "jp-agent-danger");
    input.focus();
  }

  private async _send(answer: Arguments): Promise<void> {
    const controls = this.node.querySelectorAll("button");
    for (const each of controls) each.disabled = true;
    this._said.textContent = this._trans.__("Sending …");
    try {
      await this._decide({ ...answer, question: this._question.id });
      this._said.textContent = "";
    } catch (error) {
      this._said.textContent = error instanceof Error ? error.message : String(error);
      for (const each of controls) each.disabled = false;
    }
  }

  private readonly _fields: HTMLElement;
  private readonly _said: HTMLElement;
}

/** A sentence of the kernel's Markdown without its marks for code. */
function plain(text: string): string {
  return readable(text).replace(/`/g, "");
}
