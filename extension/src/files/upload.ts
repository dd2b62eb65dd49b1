/** Sends files to the container in pieces. */

import type { Connection } from "../connection/connection";
import { text } from "../connection/messages";
import { Stopped, type Transfer } from "./read";

const PIECE = 1 << 20;
let begun = 0;

export interface Arrived {
  /** The file's path below /mnt/data: another than asked for if that one was taken. */
  readonly path: string;
  /** What a table contains, in words. */
  readonly shown: string;
}

/** `replace` what has that name, or send a `part` of a folder, of which the model is told as a whole. */
export interface UploadOptions {
  readonly replace?: boolean;
  readonly part?: boolean;
}

/** Sends a file. Rejects with `Refused`, and with `Stopped` if the transfer was stopped. */
export async function upload(
  connection: Connection,
  name: string,
  file: Blob,
  transfer?: Transfer,
  options: UploadOptions = {},
): Promise<Arrived> {
  begun += 1;
  const id = `upload-${begun}`;
  let answer = await connection.request("upload", { upload: id, name, size: file.size, ...options });
  try {
    for (let offset = 0; offset < file.size; offset += PIECE) {
      if (transfer?.stopped) throw new Stopped();
      const piece = await file.slice(offset, offset + PIECE).arrayBuffer();
      answer = await connection.request("chunk", { upload: id, offset }, piece);
      transfer?.progress(Math.min(1, (offset + PIECE) / file.size));
    }
  } catch (error) {
    connection.request("cancel", { upload: id }).catch(() => undefined);
    throw error;
  }
  return { path: text(answer["path"]), shown: text(answer["shown"]) };
}
