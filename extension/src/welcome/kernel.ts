/** The kernel that the page asks: that of an open Agent notebook, else one that is started for the page. */

import type { Kernel, ServiceManager } from "@jupyterlab/services";
import type { IDisposable } from "@lumino/disposable";

import { Connection } from "../connection/connection";
import type { AgentNotebook } from "../connection/notebook";
import { type IAgentNotebooks, LANGUAGE } from "../connection/plugin";

export class PageKernel implements IDisposable {
  constructor(
    private readonly _notebooks: IAgentNotebooks,
    private readonly _services: ServiceManager.IManager,
  ) {}

  /** The notebook whose kernel is asked; null while it is one of the page's own. */
  get notebook(): AgentNotebook | null {
    const { current, all } = this._notebooks;
    return [current, ...all].find((each) => each?.isOurs && each.connection) ?? null;
  }

  /** The connection, if it is open already. */
  get open(): Connection | null {
    return this.notebook?.connection ?? (this._own?.isDisposed === false ? this._own : null);
  }

  /** The connection; starts a kernel if there is none. Null if Jupyter does not know the Agent kernel. */
  async connection(): Promise<Connection | null> {
    const open = this.open;
    if (open) return open;
    this._starting ??= this._start().finally(() => (this._starting = null));
    return this._starting;
  }

  get isDisposed(): boolean {
    return this._disposed;
  }

  /** Ends the page's own kernel. */
  dispose(): void {
    this._disposed = true;
    this._own?.dispose();
    void this._kernel?.shutdown().catch(() => undefined);
  }

  private async _start(): Promise<Connection | null> {
    const { kernelspecs, kernels } = this._services;
    await kernelspecs.ready;
    const known = Object.values(kernelspecs.specs?.kernelspecs ?? {});
    const spec = known.find((each) => each?.language === LANGUAGE);
    if (!spec) return null;
    this._kernel = await kernels.startNew({ name: spec.name });
    this._own = new Connection(this._kernel);
    if (this._disposed) this.dispose();
    return this._own;
  }

  private _own: Connection | null = null;
  private _kernel: Kernel.IKernelConnection | null = null;
  private _starting: Promise<Connection | null> | null = null;
  private _disposed = false;
}
