/** One comm to a kernel of ours: requests, and the state that the kernel pushes. */

import type { Kernel, KernelMessage } from "@jupyterlab/services";
import type { IDisposable } from "@lumino/disposable";
import { type ISignal, Signal } from "@lumino/signaling";

import { type Arguments, fields, readState, Refused, type State, TARGET, text, VERSION } from "./messages";

const LOST = "The connection to the kernel was lost.";
const RESTARTED = "The kernel was restarted.";
const STOPPED = "The kernel has stopped.";
const CLOSED = "The notebook was closed.";

/** An answer: its JSON, and the bytes beside it. */
export interface Answer {
  readonly result: Record<string, unknown>;
  readonly buffers: ArrayBuffer[];
}

interface Waiting {
  /** Sends the request, or sends it again. */
  send: () => void;
  resolve: (answer: Answer) => void;
  reject: (reason: Refused) => void;
}

export class Connection implements IDisposable {
  constructor(private readonly _kernel: Kernel.IKernelConnection) {
    this._comm = _kernel.createComm(TARGET);
    this._comm.onMsg = (message) => {
      this._received(fields(message.content.data), message.buffers ?? []);
    };
    this._comm.onClose = () => {
      this.dispose();
    };
    this._comm.open({ version: VERSION });
    _kernel.statusChanged.connect(this._statusChanged, this);
    _kernel.iopubMessage.connect(this._heard, this);
    _kernel.disposed.connect(this._stopped, this);
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

  /** True if it has ended because the kernel's process has: a new one may be connected to. */
  get isOutlived(): boolean {
    return this._outlived;
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
    const message = { version: VERSION, id, request: name, arguments: given };
    const send = () => {
      this._comm.send(message, undefined, buffer ? [buffer] : []);
    };
    return new Promise((resolve, reject) => {
      this._waiting.set(id, { send, resolve, reject });
      send();
    });
  }

  /**
   * Makes up for messages that may have been lost: sends the requests again that are not answered, and asks for
   * the state. The kernel carries out none of them twice.
   */
  async resume(): Promise<void> {
    for (const each of [...this._waiting.values()]) each.send();
    this._take(await this.request("state"));
  }

  /** Ends the comm, and tells the kernel: it gives up what this page held. */
  close(): void {
    if (this.isDisposed) return;
    this._comm.onClose = () => undefined;
    if (!this._kernel.isDisposed && this._kernel.status !== "dead") this._comm.close();
    this._end(CLOSED);
  }

  dispose(): void {
    this._end(LOST);
  }

  private _end(why: string): void {
    if (this._ended) return;
    this._ended = true;
    for (const each of this._waiting.values()) each.reject(new Refused(why, null));
    this._waiting.clear();
    if (!this._comm.isDisposed) this._comm.dispose();
    this._changed.emit();
    Signal.disconnectReceiver(this);
    Signal.clearData(this);
  }

  private _statusChanged(_kernel: unknown, status: Kernel.Status): void {
    if (status === "restarting" || status === "autorestarting") this._outlive(RESTARTED);
    else if (status === "dead" || status === "terminating") this._outlive(STOPPED);
  }

  private _stopped(): void {
    this._outlive(STOPPED);
  }

  /** Another page may have restarted the kernel: its next process speaks in a session of its own. */
  private _heard(_kernel: unknown, message: KernelMessage.IIOPubMessage): void {
    const { session, msg_type } = message.header;
    if (msg_type !== "status") return; // the server says other things in the kernel's name
    if (this._session === "") this._session = session;
    else if (this._session !== session) this._outlive(RESTARTED);
  }

  private _outlive(why: string): void {
    if (this._ended) return;
    this._outlived = true;
    this._end(why);
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
  private _outlived = false;
  /** Of the kernel's process, as its messages name it. */
  private _session = "";
}

function bytesOf(given: ArrayBuffer | ArrayBufferView): ArrayBuffer {
  if (given instanceof ArrayBuffer) return given;
  const { buffer, byteOffset, byteLength } = given;
  return (buffer as ArrayBuffer).slice(byteOffset, byteOffset + byteLength);
}
