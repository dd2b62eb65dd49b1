/** The approval policy: a table with each rule in words, and the operator's rules. */

import type { JSONObject } from "@lumino/coreutils";

import { type Fields, fields, list, text, texts } from "../connection/messages";
import { button, element, prose } from "../dom";
import { choice, Form, line } from "./form";
import type { Context, Section } from "./section";

export class PolicySection implements Section {
  readonly form: Form;

  constructor(private readonly _context: Context) {
    const { trans } = _context;
    this.form = new Form(trans.__("Approvals"), trans, (values) => this._add(values));
    this._table = element("table", "jp-agent-rows jp-agent-rules", this.form.body);
    this._kinds = element("div", "jp-agent-kinds", this.form.body);
    const actions = [
      ["ask", trans.__("Ask before")],
      ["allow", trans.__("Run without asking")],
      ["deny", trans.__("Never run")],
    ] as const;
    this.form.field("action", trans.__("New rule"), choice(actions));
    const subjects = [
      ["command", trans.__("commands like")],
      ["host", trans.__("connections to")],
    ] as const;
    this.form.field("subject", trans.__("Applies to"), choice(subjects));
    const help = trans.__("A command such as rm * or git status, or a host such as *.example.org.");
    this._pattern = this.form.field("rule", trans.__("Command or host"), line(), help);
    this.form.submit(trans.__("Save rule"));
    this.form.action(trans.__("Back to the default"), () => this._set({ approval: null }));
    this._operator = element("div", "jp-agent-operator", this.form.node);
  }

  show(settings: Fields): void {
    const policy = fields(settings["approval"]);
    this._default = text(policy["default"]);
    this._rules = list(policy["rules"]).map((each) => fields(each) as JSONObject);
    this._drawRules(texts(settings["rules_in_words"]));
    this._drawKinds(texts(settings["allowed_kinds"]));
    const told = settings["operator_in_words"];
    this._drawOperator(Array.isArray(told) ? texts(told) : null);
  }

  private _drawRules(words: readonly string[]): void {
    const { trans } = this._context;
    this._table.replaceChildren();
    element("caption", "", this._table, trans.__("The first rule that matches applies."));
    this._rules.forEach((rule, number) => {
      const row = element("tr", "", this._table);
      prose(words[number] ?? "", element("td", "", row));
      const actions = element("td", "jp-agent-rule-actions", row);
      const act = (label: string, sign: string, change: () => void, able = true) => {
        const made = button(sign, actions, change);
        made.title = label;
        made.setAttribute("aria-label", `${label}: ${words[number] ?? ""}`);
        made.disabled = !able;
      };
      act(trans.__("Move up"), "↑", () => this._move(number, -1), number > 0);
      act(trans.__("Move down"), "↓", () => this._move(number, 1), number < this._rules.length - 1);
      act(trans.__("Change"), "✎", () => this._edit(number), rule["larger_than"] === undefined);
      act(trans.__("Remove"), "✕", () => this._change(this._rules.filter((_, each) => each !== number)));
    });
    const row = element("tr", "", this._table);
    prose(words[this._rules.length] ?? "", element("td", "", row));
    this._drawDefault(element("td", "", row));
  }

  private _drawDefault(cell: HTMLElement): void {
    const { trans } = this._context;
    const control = choice([
      ["allow", trans.__("run")],
      ["ask", trans.__("ask")],
      ["deny", trans.__("never run")],
    ]);
    control.className = "jp-agent-input";
    control.setAttribute("aria-label", trans.__("All other commands"));
    control.value = this._default;
    control.addEventListener("change", () => this._change(this._rules, control.value));
    cell.append(control);
  }

  private _drawKinds(kinds: readonly string[]): void {
    const { trans } = this._context;
    this._kinds.replaceChildren();
    if (kinds.length === 0) return;
    element(
      "p",
      "jp-agent-words",
      this._kinds,
      trans.__("You allowed these kinds of commands until the kernel stops:"),
    );
    for (const kind of kinds) {
      const row = element("div", "jp-agent-row", this._kinds);
      prose(`\`${kind.replace(/ \*$/, " …")}\``, row);
      const others = kinds.filter((each) => each !== kind);
      const remove = () => void this.form.run(() => this._set({ allowed_kinds: others }));
      button(trans.__("Ask again"), row, remove).setAttribute("aria-label", trans.__("Ask again: %1", kind));
    }
  }

  private _drawOperator(words: readonly string[] | null): void {
    const { trans } = this._context;
    this._operator.replaceChildren();
    element("h4", "jp-agent-form-title", this._operator, trans.__("The operator’s rules"));
    if (!words) {
      const unknown = trans.__(
        "The server that runs your turns may have rules of its own. It does not list them. If one of them asks or refuses, the question or the output names it.",
      );
      element("p", "jp-agent-words", this._operator, unknown);
      return;
    }
    const table = element("table", "jp-agent-rows", this._operator);
    const note = trans.__("You cannot change these. For each command the stricter of the two lists applies.");
    element("caption", "", table, note);
    for (const each of words) prose(each, element("td", "", element("tr", "", table)));
  }

  private _edit(number: number): void {
    const rule = this._rules[number] ?? {};
    const subject = rule["host"] === undefined ? "command" : "host";
    this._editing = number;
    this.form.put({ action: text(rule["action"]), subject, rule: text(rule[subject]) });
    this._pattern.focus();
  }

  private async _add({ action = "", subject = "", rule = "" }: Record<string, string>): Promise<string> {
    const earlier = this._editing === null ? {} : (this._rules[this._editing] ?? {});
    const { reason } = earlier;
    const made: JSONObject = { action, [subject]: rule, ...(reason === undefined ? {} : { reason }) };
    const rules = [...this._rules];
    if (this._editing === null) rules.unshift(made);
    else rules[this._editing] = made;
    await this._set({ approval: { default: this._default, rules } });
    this._editing = null;
    this.form.put({ rule: "" });
    this.form.settle();
    return this._context.trans.__("Saved.");
  }

  private _move(number: number, by: number): void {
    const rules = [...this._rules];
    const [moved] = rules.splice(number, 1);
    if (moved) rules.splice(number + by, 0, moved);
    this._change(rules);
  }

  private _change(rules: JSONObject[], fallback = this._default): void {
    this._editing = null;
    void this.form.run(() => this._set({ approval: { default: fallback, rules } }));
  }

  private async _set(given: JSONObject): Promise<void> {
    this.show(await this._context.ask("set", given));
  }

  private readonly _table: HTMLTableElement;
  private readonly _kinds: HTMLElement;
  private readonly _operator: HTMLElement;
  private readonly _pattern: HTMLInputElement;
  private _default = "allow";
  private _rules: JSONObject[] = [];
  private _editing: number | null = null;
}
