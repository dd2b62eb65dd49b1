/** The outputs of a cell as the record sees them. */

import type { IOutputAreaModel } from "@jupyterlab/outputarea";

import { fields, text } from "../connection/messages";

export const ITEM = "application/vnd.agent-kernel.item+json";
export const WIDGET = "application/vnd.jupyter.widget-view+json";

/** An output's item; null for what is not an item, such as a picture or a note. */
export type Item = Record<string, unknown> | null;

export interface Output {
  readonly item: Item;
  /** `display_data`, `error` and the like. */
  readonly type: string;
  /** The texts by MIME type. */
  readonly data: Record<string, unknown>;
  /** The metadata under our key. */
  readonly about: Record<string, unknown>;
}

/** All outputs of a cell; null while a live view is among them. */
export function outputsOf(model: IOutputAreaModel): Output[] | null {
  const found: Output[] = [];
  for (let index = 0; index < model.length; index++) {
    const { data, metadata, type } = model.get(index);
    if (WIDGET in data) return null;
    const item = ITEM in data ? fields(data[ITEM]) : null;
    found.push({ item, type, data, about: fields(metadata["agent_kernel"]) });
  }
  return found;
}

/** A text of an output, as the kernel wrote it for front ends. */
export function textOf(output: Output, mime: string): string {
  const value = output.data[mime];
  return Array.isArray(value) ? value.map(text).join("") : text(value);
}
