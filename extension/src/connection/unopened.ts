/**
 * Cells that run in notebooks which no page shows: their questions would be seen by nobody.
 *
 * A kernel that other pages are connected to is left to them, because the server keeps what a page misses
 * while its connection is cut only if no other one is open.
 */

import { PathExt } from "@jupyterlab/coreutils";
import { type Kernel, KernelConnection, type ServiceManager } from "@jupyterlab/services";
import { type ISignal, Signal } from "@lumino/signaling";

import { Connection } from "./connection";
import type { State } from "./messages";
import { LANGUAGE, type IAgentNotebooks } from "./plugin";

/** What a kernel opens to a page with the notebook; refused, it would count as closed by the person. */
const WIDGETS = ["jupyter.widget", "jupyter.widget.control"];

/** A notebook that is not open, and the connection to its kernel, in which a cell runs. */
export class UnopenedNotebook {
  constructor(
    readonly path: string,
    private readonly _kernel: Kernel.IKernelConnection,
  ) {
    for (const target of WIDGETS) _kernel.registerCommTarget(target, () => undefined);
    this.connection = new Connection(_kernel);
  }

  get name(): string {
    return PathExt.basename(this.path);
  }

  get state(): State | null {
    return this.connection.isDisposed ? null : this.connection.state;
  }

  /** Ends the connection; the kernel goes on. */
  close(): void {
    this.connection.dispose();
    this._kernel.dispose();
  }

  readonly connection: Connection;
}

export class UnopenedNotebooks {
  constructor(
    private readonly _services: ServiceManager.IManager,
    private readonly _notebooks: IAgentNotebooks,
  ) {
    _services.kernels.runningChanged.connect(this._look, this);
    _notebooks.changed.connect(this._opened, this);
    void Promise.all([_services.ready, _services.kernelspecs.ready]).then(() => this._look());
  }

  get all(): readonly UnopenedNotebook[] {
    return [...this._known.values()];
  }

  /** Emitted when `all` or the state of one of them changes. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** A notebook was opened or closed, or has another state. */
  private _opened(): void {
    const open = this._notebooks.all.length;
    if (open < this._open) void this._services.kernels.refreshRunning().catch(() => undefined);
    if (open !== this._open) this._look();
    this._open = open;
  }

  private _look(): void {
    const { kernels, kernelspecs, sessions } = this._services;
    const specs = kernelspecs.specs?.kernelspecs;
    const shown = new Set(this._notebooks.all.map(({ panel }) => panel.context.path));
    const paths = new Map([...sessions.running()].map((each) => [each.kernel?.id, each.path]));
    const running = new Map([...kernels.running()].map((each) => [each.id, each]));
    for (const [id, { path }] of this._known) {
      if (running.get(id)?.execution_state === "busy" && !shown.has(path)) continue;
      this._end(id);
    }
    for (const model of running.values()) {
      const path = paths.get(model.id);
      const isOurs = specs?.[model.name]?.language === LANGUAGE;
      if (!isOurs || path === undefined || shown.has(path) || this._known.has(model.id)) continue;
      if (model.connections === 0 && model.execution_state === "busy") this._begin(model, path);
    }
  }

  private _begin(model: Kernel.IModel, path: string): void {
    const { serverSettings } = this._services;
    const made = new UnopenedNotebook(path, new KernelConnection({ model, serverSettings }));
    this._known.set(model.id, made);
    made.connection.changed.connect(() => {
      this._changed.emit();
    });
  }

  private _end(id: string): void {
    this._known.get(id)?.close();
    this._known.delete(id);
    this._changed.emit();
  }

  private readonly _known = new Map<string, UnopenedNotebook>();
  private readonly _changed = new Signal<this, void>(this);
  private _open = 0;
}
