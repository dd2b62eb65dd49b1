/** Sends a file to the container in pieces. */

import type { Connection } from "../connection/connection";
import { text } from "../connection/messages";

const PIECE = 1 << 20;
let begun = 0;

export interface Arrived {
  /** The file's path below /mnt/data: another than asked for if that one was taken. */
  readonly path: string;
  /** What a table contains, in words. */
  readonly shown: string;
}

/** Sends a file; `progress` gets the part that has arrived, from 0 to 1. Rejects with `Refused`. */
export async function upload(
  connection: Connection,
  name: string,
  file: Blob,
  progress: (part: number) => void,
): Promise<Arrived> {
  begun += 1;
  const id = `upload-${begun}`;
  let answer = await connection.request("upload", { upload: id, name, size: file.size });
  try {
    for (let offset = 0; offset < file.size; offset += PIECE) {
      const piece = await file.slice(offset, offset + PIECE).arrayBuffer();
      answer = await connection.request("chunk", { upload: id, offset }, piece);
      progress(Math.min(1, (offset + PIECE) / file.size));
    }
  } catch (error) {
    connection.request("cancel", { upload: id }).catch(() => undefined);
    throw error;
  }
  return { path: text(answer["path"]), shown: text(answer["shown"]) };
}
