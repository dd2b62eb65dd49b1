/** Files of the container: what is in a folder, and their contents in pieces. */

import type { Connection } from "../connection/connection";
import { count, fields, list, Refused, text } from "../connection/messages";

/** A file or a folder in the container. */
export interface Entry {
  /** Below /mnt/data. */
  readonly path: string;
  readonly bytes: number;
  /** Milliseconds since 1970. */
  readonly modified: number;
  /** Whether the last turn created or changed it. */
  readonly changed: boolean;
  /** The number of files in a folder; null for a file. */
  readonly files: number | null;
}

/** A page of what is in a folder. */
export interface Folder {
  /** False if there is no container yet. */
  readonly container: boolean;
  readonly entries: readonly Entry[];
  /** The number of all entries. */
  readonly count: number;
  /** False if the container has more files than were looked at. */
  readonly complete: boolean;
}

function readEntry(value: unknown): Entry {
  const given = fields(value);
  return {
    path: text(given["path"]),
    bytes: count(given["bytes"]),
    modified: count(given["modified"]) * 1000,
    changed: given["changed"] === true,
    files: typeof given["files"] === "number" ? given["files"] : null,
  };
}

/** Which entries of a folder: all files below it that the last turn wrote, names with a text. */
export interface Wanted {
  readonly changed?: boolean;
  readonly named?: string;
}

/** Asks for a folder, from an entry on. */
export async function folder(
  connection: Connection,
  path: string,
  offset = 0,
  { changed = false, named = "" }: Wanted = {},
): Promise<Folder> {
  const given = await connection.request("folder", { path, offset, changed, named });
  return {
    container: given["container"] === true,
    entries: list(given["entries"]).map(readEntry),
    count: count(given["count"]),
    complete: given["complete"] === true,
  };
}

export async function stat(connection: Connection, path: string): Promise<Entry> {
  return readEntry(await connection.request("stat", { path }));
}

/** What a long transfer shows, and how it is stopped. */
export interface Transfer {
  readonly stopped: boolean;
  /** Takes the part that is done, from 0 to 1. */
  progress(part: number): void;
}

let begun = 0;

/** Reads a file of at most `most` bytes. Rejects with `Refused`. */
export async function read(
  connection: Connection,
  path: string,
  most: number,
  tooLarge: string,
  transfer?: Transfer,
): Promise<{ entry: Entry; parts: ArrayBuffer[] }> {
  begun += 1;
  const download = `download-${begun}`;
  let answer = await connection.exchange("download", { download, path });
  const entry = readEntry(answer.result);
  const parts = [...answer.buffers];
  const end = () => connection.request("end", { download }).catch(() => undefined);
  if (entry.bytes > most) {
    void end();
    throw new Refused(tooLarge, null);
  }
  let arrived = parts.reduce((sum, part) => sum + part.byteLength, 0);
  while (answer.result["end"] !== true) {
    if (transfer?.stopped) {
      void end();
      throw new Stopped();
    }
    answer = await connection.exchange("piece", { download });
    parts.push(...answer.buffers);
    arrived += answer.buffers.reduce((sum, part) => sum + part.byteLength, 0);
    transfer?.progress(arrived / entry.bytes);
  }
  return { entry, parts };
}

/** The person has stopped a transfer: there is nothing to say. */
export class Stopped extends Error {}
