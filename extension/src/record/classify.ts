/** Which outputs of a cell are its answer, and which are the work that led to it. Pure. */

import { fields, text } from "../connection/messages";

export const ITEM = "application/vnd.agent-kernel.item+json";
export const WIDGET = "application/vnd.jupyter.widget-view+json";

/** An output's item; null for what is no item, such as a picture or a note. */
export type Item = Record<string, unknown> | null;

export interface Parts {
  /** The index of the answer. */
  readonly answer: number;
  /** The indices of the commands, their output, reasoning, and earlier messages. */
  readonly work: readonly number[];
  readonly commands: number;
}

/** The parts of a cell's outputs; null if there is no answer after some work. */
export function parts(items: readonly Item[]): Parts | null {
  const types = items.map((item) => text(item?.["type"]));
  const answer = types.lastIndexOf("message");
  const work = types.flatMap((type, index) => (isWork(type) && index !== answer ? [index] : []));
  if (answer < 0 || work.length === 0) return null;
  const commands = items.map((item) => commandsOf(item)).reduce((sum, count) => sum + count, 0);
  return { answer, work, commands };
}

function isWork(type: string): boolean {
  return type === "message" || type === "reasoning" || /_call(_output)?$/.test(type);
}

function commandsOf(item: Item): number {
  const type = text(item?.["type"]);
  if (type === "shell_call") {
    const { commands } = fields(item?.["action"]);
    return Array.isArray(commands) ? commands.length : 0;
  }
  return type.endsWith("_call") ? 1 : 0;
}
