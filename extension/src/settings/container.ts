/** The container: what it is, its limits in a new one, and its shell. */

import { Dialog, showDialog } from "@jupyterlab/apputils";

import { type Fields, list, texts } from "../connection/messages";
import { element, readable } from "../dom";
import { choice, Form, line, type Values } from "./form";
import type { Context, Section } from "./section";

const SIZES = ["", "1g", "4g", "16g", "64g"];

export class ContainerSection implements Section {
  readonly form: Form;

  constructor(private readonly _context: Context) {
    const { ask, trans } = _context;
    this.form = new Form(trans.__("Container"), trans, (values) => this._renew(values));
    this._table = element("table", "jp-agent-rows", this.form.body);
    element("p", "jp-agent-words", this.form.body, trans.__("Limits for a new container:"));
    const sizes = SIZES.map((each) => [each, each || trans.__("Default")] as const);
    this.form.field("memory", trans.__("Memory"), choice(sizes));
    this.form.field("cpus", trans.__("Processors"), line(trans.__("Default")));
    this.form.field("pids", trans.__("Processes"), line(trans.__("Default")));
    this.form.field("open_files", trans.__("Open files"), line(trans.__("Default")));
    this.form.field("disk", trans.__("Disk, in bytes"), line(trans.__("Default")));
    const help = trans.__("In a volume, the files in /mnt/data outlive the container.");
    this.form.field("volume", trans.__("Volume"), line(trans.__("None")), help);
    this.form.submit(trans.__("New container …"));
    this.form.action(trans.__("Reset the shell"), async () => {
      this._draw(await ask("reset_shell"));
      return trans.__("The shell was reset. Files and background processes are kept.");
    });
  }

  async show(): Promise<void> {
    this._draw(await this._context.ask("container"));
  }

  private async _renew(values: Values): Promise<string> {
    const { ask, trans } = this._context;
    const answer = await showDialog({
      title: trans.__("Replace the container?"),
      body: trans.__("Its files, shell and Python session will be deleted. The conversation continues."),
      buttons: [
        Dialog.cancelButton({ label: trans.__("Keep it") }),
        Dialog.warnButton({ label: trans.__("Replace") }),
      ],
    });
    if (!answer.button.accept) return trans.__("The container was kept.");
    this._draw(await ask("new_container", values));
    return trans.__("The container is new and empty. It has no network until you allow one.");
  }

  private _draw(found: Fields): void {
    this._table.replaceChildren();
    for (const row of list(found["rows"])) {
      const [name, value] = texts(row);
      const line = element("tr", "", this._table);
      element("th", "", line, readable(name ?? "")).scope = "row";
      element("td", "", line, readable(value ?? ""));
    }
    if (list(found["rows"]).length === 0) {
      const { trans } = this._context;
      const none = trans.__("No container yet. The first prompt, command or upload starts one.");
      element("td", "", element("tr", "", this._table), none);
    }
  }

  private readonly _table: HTMLTableElement;
}
