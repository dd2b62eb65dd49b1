/** What is dropped from the desktop: files, and folders with all that is in them, within bounds. */

const MOST_FILES = 1000;
const MOST_BYTES = 2 ** 30;
const DEEPEST = 30;

/** A dropped folder: the files in it by their paths below it. */
export interface DroppedFolder {
  readonly name: string;
  readonly files: readonly { readonly path: string; readonly file: File }[];
}

/** What was dropped is too large to send it file by file. */
export class TooMuch extends Error {}

/** The files and folders of a drop. Call it in the event: the browser forgets them after it. */
export function dropped(data: DataTransfer): { files: File[]; folders: FileSystemDirectoryEntry[] } {
  const files: File[] = [];
  const folders: FileSystemDirectoryEntry[] = [];
  for (const item of data.items) {
    if (item.kind !== "file") continue;
    const entry = item.webkitGetAsEntry();
    const file = item.getAsFile();
    if (entry?.isDirectory) folders.push(entry as FileSystemDirectoryEntry);
    else if (file) files.push(file);
  }
  return { files, folders };
}

/** Reads a folder. Rejects with `TooMuch`, and with what the browser says of a file that cannot be read. */
export async function readFolder(root: FileSystemDirectoryEntry): Promise<DroppedFolder> {
  const files: { path: string; file: File }[] = [];
  let bytes = 0;
  const look = async (folder: FileSystemDirectoryEntry, above: string, depth: number): Promise<void> => {
    if (depth > DEEPEST) throw new TooMuch(`Its folders are nested more than ${DEEPEST} deep.`);
    for (const entry of await children(folder)) {
      const path = above + entry.name;
      if (entry.isDirectory) {
        await look(entry as FileSystemDirectoryEntry, `${path}/`, depth + 1);
        continue;
      }
      const file = await fileOf(entry as FileSystemFileEntry);
      bytes += file.size;
      files.push({ path, file });
      if (files.length > MOST_FILES) throw new TooMuch(`It has more than ${MOST_FILES} files.`);
      if (bytes > MOST_BYTES) throw new TooMuch("It is larger than 1 GiB.");
    }
  };
  await look(root, "", 1);
  return { name: root.name, files };
}

/** A browser gives the entries of a folder in parts; an empty part is the end. */
async function children(folder: FileSystemDirectoryEntry): Promise<FileSystemEntry[]> {
  const reader = folder.createReader();
  const found: FileSystemEntry[] = [];
  for (;;) {
    const part = await new Promise<FileSystemEntry[]>((resolve, reject) => {
      reader.readEntries(resolve, reject);
    });
    if (part.length === 0) return found;
    found.push(...part);
    if (found.length > MOST_FILES) throw new TooMuch(`It has more than ${MOST_FILES} files.`);
  }
}

function fileOf(entry: FileSystemFileEntry): Promise<File> {
  return new Promise((resolve, reject) => {
    entry.file(resolve, reject);
  });
}
