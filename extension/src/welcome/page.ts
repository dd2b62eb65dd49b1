/** The first-run page: what is missing, the sandbox, the model, an example. It blocks nothing. */

import type { TranslationBundle } from "@jupyterlab/translation";
import type { Message } from "@lumino/messaging";
import { Widget } from "@lumino/widgets";

import type { Connection } from "../connection/connection";
import { reason, Refused } from "../connection/messages";
import type { IAgentNotebooks } from "../connection/plugin";
import { button, element, readable } from "../dom";
import { missing, readChecks, showChecks } from "./checks";
import type { PageKernel } from "./kernel";
import { ModelForm } from "./model";

export class WelcomePage extends Widget {
  constructor(
    private readonly _kernel: PageKernel,
    private readonly _notebooks: IAgentNotebooks,
    private readonly _openExample: (connection: Connection) => Promise<void>,
    private readonly _trans: TranslationBundle,
  ) {
    super();
    this.addClass("jp-agent-welcome");
    const inner = element("div", "jp-agent-welcome-inner", this.node);
    element("h1", "jp-agent-welcome-title", inner, _trans.__("Set up Agent notebooks"));
    this._summary = element("p", "jp-agent-welcome-summary", inner);
    this._summary.setAttribute("role", "status");
    this._problem = element("p", "jp-agent-welcome-problem", inner);
    this._problem.setAttribute("role", "alert");
    this._problem.hidden = true;

    const checks = section(inner, _trans.__("What is ready"));
    this._checks = element("ul", "jp-agent-checks", checks);
    this._again = button(_trans.__("Check again"), checks, () => void this.check());

    const sandbox = section(inner, _trans.__("Sandbox"));
    const about = _trans.__(
      "Commands run in a container, never on this machine. Its image is prepared once, which takes a few minutes.",
    );
    element("p", "jp-agent-welcome-text", sandbox, about);
    this._prepare = button(_trans.__("Prepare the sandbox"), sandbox, () => void this._prepared());
    this._progress = element("div", "jp-agent-welcome-progress", sandbox);
    const bar = element("progress", "jp-agent-welcome-bar", this._progress);
    bar.setAttribute("aria-label", _trans.__("Preparing the sandbox"));
    this._step = element("span", "jp-agent-welcome-step", this._progress);
    button(_trans.__("Cancel"), this._progress, () => void this._ask("cancel_prepare"));

    this._model = new ModelForm(section(inner, _trans.__("Model")), this._kernel, _trans);

    const example = section(inner, _trans.__("Example"));
    const what = _trans.__(
      "A notebook with questions about a table. It is copied to the folder agent-example.",
    );
    element("p", "jp-agent-welcome-text", example, what);
    button(_trans.__("Open an example notebook"), example, () => void this._opened());

    _notebooks.changed.connect(this._draw, this);
    this._draw();
  }

  /** Examines everything again. */
  async check(): Promise<void> {
    this._again.disabled = true;
    this._summary.textContent = this._trans.__("Checking …");
    const answer = await this._ask("readiness");
    this._again.disabled = false;
    if (!answer) {
      this._summary.textContent = "";
      return;
    }
    const checks = readChecks(answer);
    const lacking = missing(checks);
    showChecks(this._checks, checks, this._trans);
    this._summary.textContent =
      lacking.length === 0
        ? this._trans.__("Everything a cell needs is ready.")
        : this._trans.__("Missing: %1.", lacking.map((each) => readable(each.name)).join(", "));
    this._model.refresh();
    this._draw();
  }

  override dispose(): void {
    if (this.isDisposed) return;
    this._notebooks.changed.disconnect(this._draw, this);
    this._kernel.dispose();
    super.dispose();
  }

  protected override onAfterAttach(message: Message): void {
    super.onAfterAttach(message);
    void this.check();
  }

  protected override onActivateRequest(): void {
    this._again.focus();
  }

  private async _prepared(): Promise<void> {
    if (await this._ask("prepare")) await this.check();
  }

  private async _opened(): Promise<void> {
    await this._try(async (connection) => {
      await this._openExample(connection);
      return {};
    });
  }

  private _ask(name: string): Promise<Record<string, unknown> | null> {
    return this._try((connection) => connection.request(name));
  }

  /** Does something with the kernel. Says what went wrong, and returns null then. */
  private async _try(
    use: (connection: Connection) => Promise<Record<string, unknown>>,
  ): Promise<Record<string, unknown> | null> {
    this._problem.hidden = true;
    try {
      const connection = await this._kernel.connection();
      if (!connection) throw new Refused(this._trans.__("Jupyter does not know the Agent kernel."), INSTALL);
      connection.changed.connect(this._draw, this);
      return await use(connection);
    } catch (error) {
      this._problem.textContent = reason(error);
      this._problem.hidden = false;
      return null;
    }
  }

  private _draw(): void {
    const step = this._kernel.open?.state?.preparing ?? null;
    this._progress.hidden = step === null;
    this._prepare.hidden = step !== null;
    if (step !== null) this._step.textContent = readable(step);
  }

  private readonly _summary: HTMLElement;
  private readonly _problem: HTMLElement;
  private readonly _checks: HTMLElement;
  private readonly _again: HTMLButtonElement;
  private readonly _prepare: HTMLButtonElement;
  private readonly _progress: HTMLElement;
  private readonly _step: HTMLElement;
  private readonly _model: ModelForm;
}

const INSTALL = "Run: agent-kernel install";

function section(parent: HTMLElement, title: string): HTMLElement {
  const made = element("section", "jp-agent-welcome-section", parent);
  element("h2", "jp-agent-welcome-heading", made, title);
  return made;
}
