/** Sends what was dropped or chosen, with one line for all of it. */

import type { TranslationBundle } from "@jupyterlab/translation";

import type { Connection } from "../connection/connection";
import type { AgentNotebook } from "../connection/notebook";
import { text } from "../connection/messages";
import { readFolder } from "./entries";
import { TransferLine } from "./line";
import { Stopped, type Transfer } from "./read";
import { upload } from "./upload";

/** Where files go: the notebook, the folder below /mnt/data, and what is done with each path that arrived. */
export interface Target {
  readonly notebook: AgentNotebook;
  readonly folder: string;
  readonly arrived?: (path: string) => void;
  /** Puts the line with the progress somewhere. */
  readonly place: (line: HTMLElement) => void;
}

/** Sends files one after another, and folders with all that is in them. */
export async function send(
  target: Target,
  files: readonly File[],
  folders: readonly FileSystemDirectoryEntry[],
  trans: TranslationBundle,
): Promise<void> {
  for (const file of files) {
    await carried(target, file.name, trans, async (connection, transfer) => {
      const { path } = await upload(connection, within(target.folder, file.name), file, transfer);
      target.arrived?.(path);
    });
  }
  for (const folder of folders) {
    await carried(target, `${folder.name}/`, trans, async (connection, transfer, say) => {
      const path = await sendFolder(connection, target.folder, folder, transfer, say, trans);
      target.arrived?.(`${path}/`);
    });
  }
}

async function carried(
  target: Target,
  name: string,
  trans: TranslationBundle,
  work: (connection: Connection, transfer: Transfer, say: (text: string) => void) => Promise<void>,
): Promise<void> {
  const line = new TransferLine(trans.__("Uploading %1 …", name), trans);
  target.place(line.node);
  const all = async (transfer: Transfer) => {
    const { connection } = target.notebook;
    if (!connection) throw new Error(trans.__("The kernel is not connected."));
    await work(connection, transfer, (text) => line.say(text));
  };
  await line.carry(all, (why) => trans.__("%1 was not uploaded: %2", name, why));
}

/** Sends a folder; returns its path. What had arrived before it was stopped stays. */
async function sendFolder(
  connection: Connection,
  above: string,
  entry: FileSystemDirectoryEntry,
  transfer: Transfer,
  say: (text: string) => void,
  trans: TranslationBundle,
): Promise<string> {
  const { files } = await readFolder(entry);
  if (files.length === 0) throw new Error(trans.__("The folder is empty."));
  const path = text((await connection.request("free", { name: within(above, entry.name) }))["path"]);
  const total = files.reduce((sum, each) => sum + each.file.size, 0) || 1;
  let sent = 0;
  for (const [at, each] of files.entries()) {
    if (transfer.stopped) throw new Stopped();
    say(trans.__("Uploading %1/: file %2 of %3", entry.name, at + 1, files.length));
    await upload(connection, `${path}/${each.path}`, each.file, inner(transfer, each.file, sent, total), {
      part: true,
    });
    sent += each.file.size;
    transfer.progress(sent / total);
  }
  await connection.request("uploaded", { path, files: files.length });
  return path;
}

/** The progress of one file as a part of all. */
function inner(transfer: Transfer, file: File, sent: number, total: number): Transfer {
  return {
    get stopped() {
      return transfer.stopped;
    },
    progress: (part) => transfer.progress((sent + part * file.size) / total),
  };
}

function within(folder: string, name: string): string {
  return folder ? `${folder}/${name}` : name;
}
