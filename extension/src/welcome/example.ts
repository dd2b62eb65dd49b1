/** Writes the example notebook and its data to a folder of their own, and returns the notebook's path. */

import { PathExt } from "@jupyterlab/coreutils";
import type { Contents } from "@jupyterlab/services";

import type { Connection } from "../connection/connection";
import { fields, list, text } from "../connection/messages";

const FOLDER = "agent-example";

/** Copies what is not there yet: a notebook that the user has changed stays as it is. */
export async function copyExample(connection: Connection, contents: Contents.IManager): Promise<string> {
  const example = await connection.request("example");
  for (const each of list(example["files"]).map(fields)) {
    await copy(contents, text(each["path"]), { type: "file", format: "text", content: text(each["text"]) });
  }
  return copy(contents, text(example["name"]), {
    type: "notebook",
    format: "json",
    content: example["notebook"],
  });
}

async function copy(
  contents: Contents.IManager,
  name: string,
  model: Partial<Contents.IModel>,
): Promise<string> {
  const path = PathExt.join(FOLDER, name);
  const there = await contents.get(path, { content: false }).catch(() => null);
  if (there) return path;
  let folder = "";
  for (const part of PathExt.dirname(path).split("/")) {
    folder = PathExt.join(folder, part);
    await contents.save(folder, { type: "directory" });
  }
  await contents.save(path, model);
  return path;
}
