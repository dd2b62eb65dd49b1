/**
 * The containers of all open notebooks as one drive of JupyterLab's.
 *
 * A path begins with that of the notebook: `analysis.ipynb/out/plot.png`. Contents are given under the names of
 * `viewers.ts` only.
 */

import { PathExt } from "@jupyterlab/coreutils";
import type { Contents, ServerConnection } from "@jupyterlab/services";
import { type ISignal, Signal } from "@lumino/signaling";

import type { Connection } from "../connection/connection";
import type { IAgentNotebooks } from "../connection/plugin";
import { type Entry, folder, read, stat } from "./read";
import { upload } from "./upload";
import { opened } from "./viewers";

export const DRIVE = "Container";
const KEPT_URLS = 32;
const WAIT_MILLISECONDS = 20_000;
const CHECKPOINT = "none";

interface Place {
  readonly connection: Connection;
  /** Of the notebook. */
  readonly root: string;
  /** Below /mnt/data. */
  readonly path: string;
}

export class ContainerDrive implements Contents.IDrive {
  constructor(
    private readonly _notebooks: IAgentNotebooks,
    readonly serverSettings: ServerConnection.ISettings,
  ) {}

  readonly name = DRIVE;
  isDisposed = false;

  get fileChanged(): ISignal<this, Contents.IChangedArgs> {
    return this._fileChanged;
  }

  async get(localPath: string, options?: Contents.IFetchOptions): Promise<Contents.IModel> {
    if (localPath === "") return directory("", []);
    const { connection, root, path } = await this._place(localPath);
    if (path === "" || options?.type === "directory") {
      const { entries } = await folder(connection, path);
      return directory(
        localPath,
        entries.map((each) => model(`${root}/${each.path}`, each)),
      );
    }
    const asked = opened(path);
    if (!asked) throw new Error("Open files of a container from the files panel.");
    if (options?.content === false) return model(localPath, await stat(connection, asked.file));
    const tooLarge = `The file is larger than ${asked.most / 2 ** 20} MiB. Download it instead.`;
    const { entry, parts } = await read(connection, asked.file, asked.most, tooLarge);
    const bytes = new Blob(parts);
    const content = asked.picture ? await base64(bytes) : textOf(await bytes.arrayBuffer());
    const mimetype = asked.picture ? `image/${asked.picture}` : "text/plain";
    return { ...model(localPath, entry), mimetype, content, format: asked.picture ? "base64" : "text" };
  }

  async save(localPath: string, options: Partial<Contents.IModel> = {}): Promise<Contents.IModel> {
    const { connection, path } = await this._place(localPath);
    const asked = opened(path);
    if (!asked || asked.picture || typeof options.content !== "string") {
      throw new Error("Only text can be saved in a container.");
    }
    await upload(connection, asked.file, new Blob([options.content]), undefined, { replace: true });
    const saved = model(localPath, await stat(connection, asked.file));
    this._fileChanged.emit({ type: "save", oldValue: null, newValue: saved });
    return saved;
  }

  async delete(localPath: string): Promise<void> {
    const { connection, path } = await this._place(localPath);
    await connection.request("delete", { path });
    this._fileChanged.emit({ type: "delete", oldValue: { path: localPath }, newValue: null });
  }

  async rename(oldLocalPath: string, newLocalPath: string): Promise<Contents.IModel> {
    const { connection, path } = await this._place(oldLocalPath);
    const to = (await this._place(newLocalPath)).path;
    await connection.request("rename", { path, to });
    const renamed = model(newLocalPath, await stat(connection, to));
    this._fileChanged.emit({ type: "rename", oldValue: { path: oldLocalPath }, newValue: renamed });
    return renamed;
  }

  /** An address of the file's bytes that a browser saves and never shows as a page. The oldest expire. */
  async getDownloadUrl(localPath: string): Promise<string> {
    const { connection, path } = await this._place(localPath);
    const { parts } = await read(connection, path, 32 * 2 ** 20, "The file is too large for the browser.");
    const url = URL.createObjectURL(new Blob(parts, { type: "application/octet-stream" }));
    this._urls.push(url);
    if (this._urls.length > KEPT_URLS) URL.revokeObjectURL(this._urls.shift() ?? "");
    return url;
  }

  newUntitled(): Promise<Contents.IModel> {
    return Promise.reject(new Error("Create files in a container from a cell."));
  }

  copy(): Promise<Contents.IModel> {
    return Promise.reject(new Error("Copy files in a container from a cell."));
  }

  /** The container has no checkpoints of single files. JupyterLab asks for one after each save. */
  createCheckpoint(): Promise<Contents.ICheckpointModel> {
    return Promise.resolve({ id: CHECKPOINT, last_modified: new Date().toISOString() });
  }

  listCheckpoints(): Promise<Contents.ICheckpointModel[]> {
    return Promise.resolve([]);
  }

  restoreCheckpoint(): Promise<void> {
    return Promise.reject(new Error("There is no earlier version of this file."));
  }

  deleteCheckpoint(): Promise<void> {
    return Promise.resolve();
  }

  dispose(): void {
    this.isDisposed = true;
    this._urls.splice(0).forEach((url) => URL.revokeObjectURL(url));
    Signal.clearData(this);
  }

  /** Finds the notebook of a path. After a reload its connection is waited for. */
  private async _place(localPath: string): Promise<Place> {
    const found = () => {
      for (const { panel, connection } of this._notebooks.all) {
        const root = panel.context.path;
        if (!connection || (localPath !== root && !localPath.startsWith(`${root}/`))) continue;
        return { connection, root, path: localPath.slice(root.length + 1) };
      }
      return null;
    };
    return found() ?? (await this._later(found));
  }

  private _later(find: () => Place | null): Promise<Place> {
    return new Promise((resolve, reject) => {
      const look = () => {
        const found = find();
        if (found) end(() => resolve(found));
      };
      const end = (then: () => void) => {
        clearTimeout(timer);
        this._notebooks.changed.disconnect(look);
        then();
      };
      const timer = setTimeout(() => {
        end(() => reject(new Error("The notebook of this container is not open.")));
      }, WAIT_MILLISECONDS);
      this._notebooks.changed.connect(look);
    });
  }

  private readonly _fileChanged = new Signal<this, Contents.IChangedArgs>(this);
  private readonly _urls: string[] = [];
}

function model(path: string, entry: Entry): Contents.IModel {
  const modified = new Date(entry.modified).toISOString();
  return {
    name: PathExt.basename(path),
    path,
    type: entry.files === null ? "file" : "directory",
    writable: true,
    created: modified,
    last_modified: modified,
    mimetype: "application/octet-stream",
    content: null,
    format: null,
    size: entry.bytes,
  };
}

function directory(path: string, content: Contents.IModel[]): Contents.IModel {
  const entry = { path, bytes: 0, modified: 0, changed: false, files: content.length };
  return { ...model(path, entry), content, format: "json" };
}

function textOf(bytes: ArrayBuffer): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new Error("The file is not UTF-8 text. Download it instead.");
  }
}

function base64(bytes: Blob): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve((reader.result as string).replace(/^data:[^,]*,/, ""));
    reader.onerror = () => reject(new Error("The file cannot be read."));
    reader.readAsDataURL(bytes);
  });
}
