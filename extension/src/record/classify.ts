/** Which outputs of a cell are its answer, and which are the work that led to it. Pure. */

import { fields, text } from "../connection/messages";
import type { Item, Output } from "./outputs";

export interface Parts {
  /** The index of the answer. */
  readonly answer: number;
  /** The indices of the commands, their output, reasoning, and earlier messages. */
  readonly work: readonly number[];
  readonly commands: number;
  /** How long the commands took together; null if no output says it. */
  readonly seconds: number | null;
}

/** The parts of a cell's outputs; null if there is no answer after some work. */
export function parts(outputs: readonly Output[]): Parts | null {
  const types = outputs.map(({ item }) => text(item?.["type"]));
  const answer = types.lastIndexOf("message");
  const work = types.flatMap((type, index) => (isWork(type) && index !== answer ? [index] : []));
  if (answer < 0 || work.length === 0) return null;
  const commands = outputs.reduce((sum, { item }) => sum + commandsOf(item).length, 0);
  const times = outputs.flatMap(({ about }) => secondsOf(about));
  return { answer, work, commands, seconds: times.length ? times.reduce((a, b) => a + b) : null };
}

function isWork(type: string): boolean {
  return type === "message" || type === "reasoning" || /_call(_output)?$/.test(type);
}

/** The commands of a call; one for a call of another tool. */
export function commandsOf(item: Item): string[] {
  const type = text(item?.["type"]);
  if (type !== "shell_call") return type.endsWith("_call") ? [text(item?.["code"])] : [];
  const { commands } = fields(item?.["action"]);
  return Array.isArray(commands) ? commands.map(text) : [];
}

/** How long each command took, as far as the metadata says it. */
export function secondsOf(about: Record<string, unknown>): number[] {
  const given = about["seconds"];
  return Array.isArray(given)
    ? given.filter((each): each is number => Number.isFinite(each) && (each as number) >= 0)
    : [];
}

/** A readable duration: `0.4 s`, `12 s`, `2 min 5 s`. */
export function duration(seconds: number): string {
  if (seconds < 0.95) return `${Math.max(0.1, seconds).toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const [large, small, units] =
    whole < 3600
      ? [Math.floor(whole / 60), whole % 60, ["min", "s"]]
      : [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60), ["h", "min"]];
  return `${large} ${units[0] ?? ""}${small ? ` ${small} ${units[1] ?? ""}` : ""}`;
}
