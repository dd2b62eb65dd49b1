/** A notebook, and the connection to its kernel if that is one of ours. */

import { PathExt } from "@jupyterlab/coreutils";
import type { NotebookPanel } from "@jupyterlab/notebook";
import type { Kernel } from "@jupyterlab/services";
import { type ISignal, Signal } from "@lumino/signaling";

import { Connection } from "./connection";
import { type Arguments, type Fields, Refused, type State } from "./messages";

const IMPLEMENTATION = "agent-kernel";
const NOT_CONNECTED = "The kernel is not connected.";

/**
 * "connecting" is at first and again after the connection was interrupted; "lost" if JupyterLab no longer tries;
 * "none" if there is no kernel.
 */
export type Reach = "connected" | "connecting" | "lost" | "none";

export class AgentNotebook {
  constructor(readonly panel: NotebookPanel) {
    const { sessionContext } = panel;
    sessionContext.kernelChanged.connect(this._kernelChanged, this);
    sessionContext.statusChanged.connect(this._look, this);
    sessionContext.connectionStatusChanged.connect(this._reconnected, this);
    panel.content.disposed.connect(this._end, this); // before its session
    this._look();
  }

  /** The name of the notebook's file. */
  get name(): string {
    return PathExt.basename(this.panel.context.path);
  }

  /** Whether the notebook's kernel is one of ours. It stays true while the kernel restarts. */
  get isOurs(): boolean {
    return this._ours;
  }

  /** The open connection; null while there is none. */
  get connection(): Connection | null {
    return this._connection?.isDisposed === false ? this._connection : null;
  }

  get state(): State | null {
    return this.connection?.state ?? null;
  }

  /** Whether messages get through to the kernel. */
  get reach(): Reach {
    const kernel = this.panel.sessionContext.session?.kernel;
    if (!kernel || kernel.status === "dead") return "none";
    if (kernel.connectionStatus === "disconnected") return "lost";
    return kernel.connectionStatus === "connected" && this.state ? "connected" : "connecting";
  }

  /** Emitted when `isOurs`, `connection` or `state` changes. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** Sends a request to the kernel. Rejects with `Refused`. */
  ask(name: string, given: Arguments = {}): Promise<Fields> {
    return this.connection?.request(name, given) ?? Promise.reject(new Refused(NOT_CONNECTED, null));
  }

  /** Connects again to a kernel whose connection is lost. Whether that works is seen in `reach`. */
  reconnect(): void {
    this.panel.sessionContext.session?.kernel?.reconnect().catch(() => undefined);
  }

  /** The place of a cell among the code cells, from 1, and their number; null for an unknown cell. */
  place(cell: string | null): { at: number; of: number } | null {
    const codes = this.panel.content.widgets.filter((each) => each.model.type === "code");
    const at = codes.findIndex((each) => each.model.id === cell);
    return at < 0 ? null : { at: at + 1, of: codes.length };
  }

  /** Shows a cell, and the notebook if it is hidden. */
  async show(cell: string | null): Promise<void> {
    const { content } = this.panel;
    const index = content.widgets.findIndex((each) => each.model.id === cell);
    if (index < 0) return;
    content.activeCellIndex = index;
    await content.scrollToItem(index, "smart");
  }

  private _kernelChanged(): void {
    this._look();
    this._changed.emit();
  }

  private _look(): void {
    const kernel = this.panel.sessionContext.session?.kernel ?? null;
    if (kernel === null || this._looking || !["idle", "busy"].includes(kernel.status)) return;
    if (kernel === this._kernel && (this.connection || !this._ours)) return;
    this._looking = true;
    void this._connect(kernel).finally(() => {
      this._looking = false;
      if (kernel !== this.panel.sessionContext.session?.kernel) this._look();
    });
  }

  private async _connect(kernel: Kernel.IKernelConnection): Promise<void> {
    const ours = (await kernel.info).implementation === IMPLEMENTATION;
    if (kernel.isDisposed || this.panel.isDisposed) return;
    this._connection?.dispose();
    this._kernel = kernel;
    this._ours = ours;
    this._connection = ours ? new Connection(kernel) : null;
    this._connection?.changed.connect((connection) => {
      if (connection.isOutlived) this._look();
      this._changed.emit();
    });
    this._changed.emit();
  }

  private _reconnected(): void {
    const kernel = this.panel.sessionContext.session?.kernel;
    // A kernel that restarts meanwhile ends the connection, and `_look` makes a new one.
    if (kernel?.connectionStatus === "connected") this.connection?.resume().catch(() => undefined);
    this._look();
    this._changed.emit();
  }

  /** Tells the kernel that this page has gone: its notebook was closed, or the page is. */
  leave(): void {
    this.connection?.close();
  }

  private _end(): void {
    this.leave();
    this._connection?.dispose();
    Signal.disconnectReceiver(this);
    Signal.clearData(this);
  }

  private readonly _changed = new Signal<this, void>(this);
  private _kernel: Kernel.IKernelConnection | null = null;
  private _connection: Connection | null = null;
  private _ours = false;
  private _looking = false;
}
