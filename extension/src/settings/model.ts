/** The model: chosen from those that `%model` lists, or by name, and tested. */

import { type Fields, text, texts } from "../connection/messages";
import { readable } from "../dom";
import { choice, fill, Form, line, type Values } from "./form";
import type { Context, Section } from "./section";

const OTHER = "\0other";

export class ModelSection implements Section {
  readonly form: Form;

  constructor(private readonly _context: Context) {
    const { ask, trans } = _context;
    this.form = new Form(trans.__("Model"), trans, async (values) => {
      await ask("set", { model: chosen(values) || null });
      this.form.settle();
      return trans.__("The next cell uses it.");
    });
    this._models = this.form.field("listed", trans.__("Model"), choice([["", trans.__("Default model")]]));
    const other = trans.__("For example openai/gpt-5 or ollama/qwen3:8b");
    this._name = this.form.field("model", trans.__("Name"), line(), other);
    this._models.addEventListener("change", () => this._toggle());
    this.form.submit(trans.__("Use this model"));
    this.form.action(trans.__("Test this model"), (values) => this._test(chosen(values)));
    this._toggle();
  }

  async show(settings: Fields): Promise<void> {
    const { ask, trans } = this._context;
    this._listed ??= texts((await ask("models"))["models"]);
    const model = text(settings["model"]);
    const names = [...new Set([...this._listed, model])].filter(Boolean);
    fill(this._models, [
      ["", trans.__("Default model")],
      ...names.map((each) => [each, readable(each)] as const),
      [OTHER, trans.__("Other …")],
    ]);
    this.form.show({ listed: model, model: "" });
    this._toggle();
  }

  private _toggle(): void {
    const box = this._name.parentElement;
    if (box) box.hidden = this._models.value !== OTHER;
  }

  private async _test(model: string): Promise<string> {
    const { ask, trans } = this._context;
    const found = await ask("test_model", model ? { model } : {});
    if (found["known"] !== true) return trans.__("This kernel has no server to ask about this model.");
    const lines = [text(found["problem"]), ...texts(found["lines"]), text(found["hint"])];
    return readable(lines.filter(Boolean).join(" "));
  }

  private readonly _models: HTMLSelectElement;
  private readonly _name: HTMLInputElement;
  private _listed: string[] | null = null;
}

function chosen(values: Values): string {
  return (values["listed"] === OTHER ? values["model"] : values["listed"]) ?? "";
}
