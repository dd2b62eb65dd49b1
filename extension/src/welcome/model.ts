/** The model of the first-run page: choose one, test it. A key is never asked for here. */

import { PathExt } from "@jupyterlab/coreutils";
import type { TranslationBundle } from "@jupyterlab/translation";

import { list, reason, text } from "../connection/messages";
import { button, element, readable } from "../dom";
import type { PageKernel } from "./kernel";

const NAMES = "jp-agent-welcome-models";

export class ModelForm {
  constructor(
    parent: HTMLElement,
    private readonly _kernel: PageKernel,
    private readonly _trans: TranslationBundle,
  ) {
    const label = element("label", "jp-agent-welcome-label", parent, _trans.__("Name of the model"));
    this._name = element("input", "jp-mod-styled", label);
    this._name.setAttribute("list", NAMES);
    this._names = element("datalist", "", parent);
    this._names.id = NAMES;
    button(_trans.__("Test"), parent, () => void this._report(() => this._test()));
    this._use = button(_trans.__("Use in this notebook"), parent, () => void this._report(() => this._set()));
    this._result = element("p", "jp-agent-welcome-result", parent);
    this._result.setAttribute("role", "status");
    const keys = _trans.__(
      "You cannot enter keys here, so none can end up in a notebook. The kernel reads OPENAI_API_KEY, ANTHROPIC_API_KEY, or AGENT_KERNEL_UPSTREAM_URL and AGENT_KERNEL_UPSTREAM_KEY, from the environment in which Jupyter starts. A model on this machine needs no key: ollama/NAME, or the address of another local server. AGENT_KERNEL_MODEL is the model of new notebooks.",
    );
    element("p", "jp-agent-welcome-text", parent, keys);
  }

  /** Lists the models that the kernel knows. */
  refresh(): void {
    void this._report(async (): Promise<string> => {
      const connection = this._kernel.open;
      this._use.hidden = this._kernel.notebook === null;
      if (!connection) return "";
      if (!this._name.value) this._name.value = connection.state?.model ?? "";
      const { models } = await connection.request("models");
      const names = list(models).map(text);
      this._names.replaceChildren(...names.map((name) => new Option(name)));
      return "";
    });
  }

  private async _test(): Promise<string> {
    const connection = await this._kernel.connection();
    const name = this._name.value.trim();
    const answer = await connection?.request("test_model", name ? { model: name } : {});
    if (answer?.["known"] !== true) {
      return this._trans.__(
        "There is nothing to test: this model needs no server, or only the server that runs your turns can reach it.",
      );
    }
    const problem = text(answer["problem"]);
    return [problem, ...list(answer["lines"]).map(text), text(answer["hint"])].filter(Boolean).join(" ");
  }

  private async _set(): Promise<string> {
    const { notebook } = this._kernel;
    const name = this._name.value.trim();
    await notebook?.connection?.request("set", { model: name || null });
    const path = PathExt.basename(notebook?.panel.context.path ?? "");
    return name
      ? this._trans.__("%1 now uses %2.", path, name)
      : this._trans.__("%1 now uses the default model.", path);
  }

  /** Shows what came of it, or what went wrong. */
  private async _report(act: () => Promise<string>): Promise<void> {
    this._result.textContent = "";
    try {
      this._result.textContent = readable(await act());
    } catch (error) {
      this._result.textContent = reason(error);
    }
  }

  private readonly _name: HTMLInputElement;
  private readonly _names: HTMLElement;
  private readonly _use: HTMLButtonElement;
  private readonly _result: HTMLElement;
}
