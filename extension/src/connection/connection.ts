/** One comm to a kernel of ours: requests, and the state that the kernel pushes. */

import type { Kernel } from "@jupyterlab/services";
import type { IDisposable } from "@lumino/disposable";
import { type ISignal, Signal } from "@lumino/signaling";

import { type Arguments, fields, readState, Refused, type State, TARGET, text, VERSION } from "./messages";

const LOST = "The connection to the kernel was lost.";

/** An answer: its JSON, and the bytes beside it. */
export interface Answer {
  readonly result: Record<string, unknown>;
  readonly buffers: ArrayBuffer[];
}

interface Waiting {
  resolve: (answer: Answer) => void;
  reject: (reason: Refused) => void;
}

export class Connection implements IDisposable {
  constructor(kernel: Kernel.IKernelConnection) {
    this._comm = kernel.createComm(TARGET);
    this._comm.onMsg = (message) => {
      this._received(fields(message.content.data), message.buffers ?? []);
    };
    this._comm.onClose = () => {
      this.dispose();
    };
    this._comm.open({ version: VERSION });
  }

  /** The state that the kernel pushed last; null until the first one. */
  get state(): State | null {
    return this._state;
  }

  /** Seconds since `state` arrived. */
  get age(): number {
    return (Date.now() - this._arrived) / 1000;
  }

  /** Emitted when `state` changes, and at the end. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** True once the kernel or this page has ended the comm. A kernel that does not know it ends it at once. */
  get isDisposed(): boolean {
    return this._ended || this._comm.isDisposed;
  }

  /** Sends a request. Rejects with `Refused`. */
  async request(name: string, given: Arguments = {}, buffer?: ArrayBuffer): Promise<Record<string, unknown>> {
    return (await this.exchange(name, given, buffer)).result;
  }

  /** Sends a request whose answer may have bytes. Rejects with `Refused`. */
  exchange(name: string, given: Arguments = {}, buffer?: ArrayBuffer): Promise<Answer> {
    if (this.isDisposed) return Promise.reject(new Refused(LOST, null));
    this._asked += 1;
    const id = `${this._asked}`;
    return new Promise((resolve, reject) => {
      this._waiting.set(id, { resolve, reject });
      const message = { version: VERSION, id, request: name, arguments: given };
      this._comm.send(message, undefined, buffer ? [buffer] : []);
    });
  }

  /** Asks for the state again, after messages may have been lost. */
  async refresh(): Promise<void> {
    this._take(await this.request("state"));
  }

  dispose(): void {
    if (this._ended) return;
    this._ended = true;
    for (const each of this._waiting.values()) each.reject(new Refused(LOST, null));
    this._waiting.clear();
    if (!this._comm.isDisposed) this._comm.dispose();
    this._changed.emit();
    Signal.clearData(this);
  }

  private _received(data: Record<string, unknown>, buffers: (ArrayBuffer | ArrayBufferView)[]): void {
    if (data["push"] === "state") {
      this._take(data["value"]);
      return;
    }
    const id = text(data["reply"]);
    const waiting = this._waiting.get(id);
    this._waiting.delete(id);
    if ("error" in data) {
      const error = fields(data["error"]);
      const hint = text(error["hint"]) || null;
      waiting?.reject(new Refused(text(error["message"]), hint, text(error["field"])));
    } else {
      waiting?.resolve({ result: fields(data["result"]), buffers: buffers.map(bytesOf) });
    }
  }

  private _take(value: unknown): void {
    this._state = readState(value);
    this._arrived = Date.now();
    this._changed.emit();
  }

  private readonly _comm: Kernel.IComm;
  private readonly _changed = new Signal<this, void>(this);
  private readonly _waiting = new Map<string, Waiting>();
  private _state: State | null = null;
  private _arrived = Date.now();
  private _asked = 0;
  private _ended = false;
}

function bytesOf(given: ArrayBuffer | ArrayBufferView): ArrayBuffer {
  if (given instanceof ArrayBuffer) return given;
  const { buffer, byteOffset, byteLength } = given;
  return (buffer as ArrayBuffer).slice(byteOffset, byteOffset + byteLength);
}
