/**
 * The card that asks whether commands may run, a connection may be made, or a cell that is run again goes back
 * first. The live view of a turn and the inbox show the same one.
 */

import { type Arguments, type Question, reason } from "../connection/messages";
import { element, prose, readable } from "../dom";
import { drawCommand } from "../live/code";

/** The part of a translation bundle that the card uses; the live view works where there is none. */
export interface Translates {
  __(text: string, ...given: (string | number)[]): string;
}

/** Sends a decision; rejects with the reason why it was not taken. */
export type Decide = (answer: Arguments) => Promise<unknown>;

export class ApprovalCard {
  readonly node: HTMLElement;

  constructor(
    private readonly _question: Question,
    private readonly _decide: Decide,
    private readonly _trans: Translates,
    className: string,
  ) {
    this.node = element("div", `agent-card ${className}`);
    const title = this._title();
    this.node.setAttribute("role", "group");
    this.node.setAttribute("aria-label", _trans.__("Approval: %1", title));
    element("div", "agent-card-title", this.node, title);
    for (const command of _question.commands) {
      if (this._isElicitation && _question.editable) continue; // shown as fields
      if (this._isRerun) element("div", "agent-card-reason", this.node, readable(command));
      else this._show(command);
    }
    const reasons = this._isElicitation ? "agent-card-reason agent-card-lines" : "agent-card-reason";
    prose(_question.reason, element("div", reasons, this.node));
    const choices = element("div", "agent-card-row", this.node);
    this._fields = element("div", "agent-card-fields", this.node);
    this._said = element("div", "agent-card-said", this.node);
    this._said.setAttribute("role", "alert");
    this._offer(choices);
  }

  private get _isNetwork(): boolean {
    return this._question.about === "network";
  }

  private get _isRerun(): boolean {
    return this._question.about === "rerun";
  }

  private get _isElicitation(): boolean {
    return this._question.about === "elicitation";
  }

  private _title(): string {
    if (this._isElicitation) return this._trans.__("An MCP server asks you");
    if (this._isRerun) return this._trans.__("Go back first?");
    if (this._isNetwork) return this._trans.__("Allow this connection?");
    return this._question.commands.length > 1
      ? this._trans.__("Run these commands?")
      : this._trans.__("Run this command?");
  }

  private _show(command: string): void {
    const shown = element("pre", "agent-card-command", this.node);
    shown.tabIndex = 0; // a long one is scrolled with the keys
    if (this._question.editable) drawCommand(shown, command);
    else shown.textContent = readable(command);
  }

  private _offer(choices: HTMLElement): void {
    const { _trans } = this;
    if (this._isRerun) {
      this._button(_trans.__("Go back"), choices, () => this._send({ approve: true }), "main");
      const always = _trans.__("Always in this notebook");
      this._button(always, choices, () => this._send({ approve: true, remember: true }));
      this._button(_trans.__("Continue from here"), choices, () => this._send({ approve: false }));
      return;
    }
    if (this._isElicitation) {
      this._ask();
      return;
    }
    const kind = this._isNetwork ? _trans.__("Allow in this notebook") : _trans.__("Allow this kind");
    this._button(_trans.__("Allow once"), choices, () => this._send({ approve: true }), "main");
    this._button(kind, choices, () => this._send({ approve: true, remember: true }));
    if (this._question.editable) this._button(_trans.__("Edit …"), choices, () => this._edit());
    this._button(_trans.__("Deny …"), choices, () => this._deny(), "danger");
    prose(this._scope(kind), element("div", "agent-card-scope", this.node));
  }

  /** What the second button allows, in the kernel's Markdown. */
  private _scope(words: string): string {
    const { commands, kind } = this._question;
    if (this._isNetwork) {
      const host = (commands[0] ?? "").replace(/[\\`]/g, "\\$&"); // a host's name is no Markdown
      return this._trans.__("“%1” allows connections to %2, for this notebook’s container.", words, host);
    }
    const exactly =
      commands.length > 1 ? this._trans.__("exactly these commands") : this._trans.__("exactly this command");
    return this._trans.__("“%1” allows %2, until the kernel stops.", words, kind || exactly);
  }

  /** Asks for the values of a server's question, each a line `name: value`, or for consent to a page. */
  private _ask(): void {
    const { commands, editable } = this._question;
    const values = element("div", "agent-card-values", this._fields);
    const inputs = (editable ? commands : []).map((line) => {
      const cut = line.indexOf(": ");
      const name = line.slice(0, cut);
      const label = element("label", "agent-card-scope", values, readable(name));
      const input = element("input", "agent-card-input", label);
      input.value = line.slice(cut + 2);
      return { name, input };
    });
    const lines = () => inputs.map(({ name, input }) => `${name}: ${input.value}`);
    const send = () => this._send(editable ? { approve: true, commands: lines() } : { approve: true });
    const row = element("div", "agent-card-row", this._fields);
    this._button(editable ? this._trans.__("Answer") : this._trans.__("I agree"), row, send, "main");
    this._button(this._trans.__("Do not answer"), row, () => this._send({ approve: false }));
  }

  private _edit(): void {
    this._fields.replaceChildren();
    const inputs = this._question.commands.map((command, number) => {
      const input = element("textarea", "agent-card-input agent-card-code", this._fields);
      input.value = command;
      input.rows = Math.min(12, command.split("\n").length + 1);
      input.spellcheck = false;
      input.setAttribute("aria-label", this._trans.__("Command %1", number + 1));
      return input;
    });
    const send = () => this._send({ approve: true, commands: inputs.map((each) => each.value) });
    this._button(this._trans.__("Run edited version"), this._fields, send, "main");
    inputs[0]?.focus();
  }

  private _deny(): void {
    this._fields.replaceChildren();
    const input = element("input", "agent-card-input", this._fields);
    input.placeholder = this._trans.__("Why, or what to do instead");
    input.title = this._trans.__("The model sees this");
    input.setAttribute("aria-label", this._trans.__("Reason"));
    const send = () => this._send({ approve: false, reason: input.value });
    // Not a form, because the host page may handle the submission of forms itself.
    input.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.isComposing) send();
    });
    this._button(this._trans.__("Deny"), this._fields, send, "danger");
    input.focus();
  }

  private _button(label: string, parent: HTMLElement, act: () => void, look = ""): void {
    const made = element("button", `agent-card-button ${look && `agent-card-${look}`}`.trim(), parent, label);
    made.type = "button";
    made.addEventListener("click", act);
  }

  private _send(answer: Arguments): void {
    const controls = this.node.querySelectorAll("button");
    const able = (yes: boolean) => {
      for (const each of controls) each.disabled = !yes;
    };
    const say = (words: string, isBad = false) => {
      this._said.textContent = words;
      this._said.classList.toggle("agent-card-bad", isBad);
    };
    able(false);
    say(this._trans.__("Sending …"));
    this._decide({ ...answer, question: this._question.id }).then(
      () => {
        say("");
        able(true);
      },
      (error: unknown) => {
        say(reason(error), true);
        able(true);
      },
    );
  }

  private readonly _fields: HTMLElement;
  private readonly _said: HTMLElement;
}
