/** What each turn gets: the notebook's instructions, and its budget. */

import { type Fields, fields, text } from "../connection/messages";
import { area, Form, line } from "./form";
import type { Context, Section } from "./section";

export class InstructionsSection implements Section {
  readonly form: Form;

  constructor({ ask, trans }: Context) {
    this.form = new Form(trans.__("Instructions"), trans, async ({ instructions }) => {
      await ask("set", { instructions: instructions ?? "" });
      this.form.settle();
      return trans.__("Saved. The model gets them before every turn.");
    });
    const help = trans.__("The model gets them before every turn, after the kernel’s own.");
    this.form.field("instructions", trans.__("This notebook’s instructions"), area(4), help);
    this.form.submit(trans.__("Save"));
  }

  show(settings: Fields): void {
    this.form.show({ instructions: text(settings["instructions"]) });
  }
}

const LIMITS = ["tokens", "seconds", "tool_calls"];

export class BudgetSection implements Section {
  readonly form: Form;

  constructor({ ask, trans }: Context) {
    this.form = new Form(trans.__("Budget"), trans, async (values) => {
      const given = Object.entries(values).filter(([, value]) => value);
      await ask("set", { budget: Object.fromEntries(given) });
      this.form.settle();
      return given.length > 0 ? trans.__("Saved.") : trans.__("Saved. No limit is set for a turn.");
    });
    const labels = [trans.__("Tokens"), trans.__("Seconds"), trans.__("Tool calls")];
    LIMITS.forEach((name, number) => {
      this.form.field(name, labels[number] ?? name, line(trans.__("No limit"))).inputMode = "decimal";
    });
    this.form.submit(trans.__("Save"));
  }

  show(settings: Fields): void {
    const budget = fields(settings["budget"]);
    const shown = LIMITS.map((name) => [name, typeof budget[name] === "number" ? `${budget[name]}` : ""]);
    this.form.show(Object.fromEntries(shown) as Record<string, string>);
  }
}
