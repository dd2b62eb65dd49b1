/** Asks whether commands may run, or a connection may be made. */

import { element } from "../dom";
import { drawCommand } from "./code";
import type { Commit } from "./controls";
import { button, committing, onEnter } from "./controls";
import { sentence } from "./markdown";
import type { Action, Model, Question } from "./messages";
import type { Store } from "./store";
import { readable, setText } from "./text";

export class QuestionCard {
  readonly node = element("div", "agent-live-question");

  constructor(
    store: Store,
    model: Model,
    private readonly _question: Question,
  ) {
    const { commands, about, reason } = _question;
    this.node.setAttribute("role", "group");
    this.node.setAttribute("aria-label", "Approval");
    const these = commands.length > 1 ? "Run these commands?" : "Run this command?";
    const title = about === "network" ? "Allow this connection?" : these;
    element("div", "agent-live-question-title", this.node, title);
    for (const command of commands) {
      const shown = element("pre", "agent-live-command", this.node);
      if (this._isEditable) drawCommand(shown, command);
      else setText(shown, readable(command));
    }
    sentence(element("div", "agent-live-reason", this.node), reason);
    const choices = element("div", "agent-live-row", this.node);
    this._fields = element("div", "agent-live-fields", this.node);
    [, this._commit] = committing(store, model, this.node);
    this._offer(choices);
  }

  private get _isEditable(): boolean {
    return this._question.editable;
  }

  private _offer(choices: HTMLElement): void {
    const network = this._question.about === "network";
    const kind = network ? "Allow in this notebook" : "Allow this kind";
    button("Allow once", choices, () => this._decide({ approve: true }), "agent-live-main");
    button(kind, choices, () => this._decide({ approve: true, remember: true }));
    if (this._isEditable) button("Edit …", choices, () => this._edit());
    button("Deny …", choices, () => this._deny(), "agent-live-danger");
    const scope = element("div", "agent-live-quiet", this.node);
    const [host = ""] = this._question.commands;
    if (network) {
      // A host's name is no Markdown.
      setText(scope, `“${kind}” allows connections to ${readable(host)}, for this notebook’s container.`);
    } else sentence(scope, `“${kind}” allows ${this._covered}, until the kernel stops.`);
  }

  private get _covered(): string {
    const { commands, kind } = this._question;
    return kind || (commands.length > 1 ? "exactly these commands" : "exactly this command");
  }

  private _edit(): void {
    this._fields.replaceChildren();
    const inputs = this._question.commands.map((command, number) => {
      const input = element("textarea", "agent-live-input agent-live-code-input", this._fields);
      Object.assign(input, { value: command, rows: Math.min(12, command.split("\n").length + 1) });
      input.spellcheck = false;
      input.setAttribute("aria-label", `Command ${number + 1}`);
      return input;
    });
    const send = () => this._decide({ approve: true, commands: inputs.map((input) => input.value) });
    button("Run edited version", this._fields, send, "agent-live-main");
    inputs[0]?.focus();
  }

  private _deny(): void {
    this._fields.replaceChildren();
    const input = element("input", "agent-live-input", this._fields);
    input.placeholder = "Why, or what to do instead (sent to the model)";
    input.setAttribute("aria-label", "Reason");
    const send = () => this._decide({ approve: false, reason: input.value });
    onEnter(input, send);
    button("Deny", this._fields, send, "agent-live-danger");
    input.focus();
  }

  private _decide(answer: Record<string, string | boolean | string[]>): void {
    const action: Action = { type: "decide", question: this._question.id, ...answer };
    void this._commit(action, this.node.querySelectorAll("button"));
  }

  private readonly _fields: HTMLElement;
  private readonly _commit: Commit;
}
