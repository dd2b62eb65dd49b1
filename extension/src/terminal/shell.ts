/** A shell in the container, over the comm: what it shows is asked for piece by piece. */

import type { Connection } from "../connection/connection";
import { count } from "../connection/messages";

let opened = 0;

/** How a shell ended. */
export interface Ended {
  readonly code: number;
}

export class RemoteShell {
  constructor(private readonly _connection: Connection) {
    opened += 1;
    this._name = `terminal-${opened}-${Date.now().toString(36)}`;
  }

  /** Opens it. Rejects with `Refused`. */
  async open(rows: number, columns: number): Promise<void> {
    await this._connection.request("terminal", { terminal: this._name, rows, columns });
  }

  /** What it shows next, which may be nothing yet; or how it ended. Rejects with `Refused`. */
  async read(): Promise<Uint8Array | Ended> {
    const given = { terminal: this._name, seen: this._seen };
    // Asked again, a kernel that was restarted unheard answers in its new session, which ends the connection.
    const late = setTimeout(() => void this._connection.resume().catch(ignored), LATEST);
    const { result, buffers } = await this._connection
      .exchange("terminal-read", given)
      .finally(() => clearTimeout(late));
    this._seen = count(result["number"]);
    if (typeof result["code"] === "number") return { code: result["code"] };
    return new Uint8Array(buffers[0] ?? new ArrayBuffer(0));
  }

  type(text: string | Uint8Array): void {
    const bytes = typeof text === "string" ? new TextEncoder().encode(text) : text;
    for (let at = 0; at < bytes.length; at += MOST_TYPED) {
      const piece = bytes.slice(at, at + MOST_TYPED);
      this._connection.request("terminal-write", { terminal: this._name }, piece.buffer).catch(ignored);
    }
  }

  resize(rows: number, columns: number): void {
    this._connection.request("terminal-resize", { terminal: this._name, rows, columns }).catch(ignored);
  }

  close(): void {
    this._connection.request("terminal-end", { terminal: this._name }).catch(ignored);
  }

  private readonly _name: string;
  private _seen = 0;
}

const MOST_TYPED = 2 ** 18;

/** Milliseconds after which there should be an answer: the kernel gives one after 20 s at the latest. */
const LATEST = 30_000;

/** The next read says what has gone wrong. */
function ignored(): void {
  return;
}
