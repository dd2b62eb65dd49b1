/** The messages of the comm, as docs/extension-protocol.md describes them. */

import type { JSONObject } from "@lumino/coreutils";

export const TARGET = "agent_kernel";
export const VERSION = 1;

/** A question that waits for the user: may these commands run, or this connection be made? */
export interface Question {
  readonly id: string;
  readonly commands: readonly string[];
  readonly reason: string;
  readonly kind: string;
  readonly editable: boolean;
  readonly about: string;
  readonly cell: string | null;
}

export interface RunningCell {
  readonly id: string | null;
  readonly number: number;
  readonly seconds: number;
  readonly step: string;
}

export interface State {
  readonly model: string | null;
  readonly container: { readonly id: string | null; readonly sandbox: string; readonly isolation: string };
  readonly cell: RunningCell | null;
  /** The number of the newest cell: a short one may have begun and ended between two states. */
  readonly newest: number;
  /** Changes when a page has changed the container's files. */
  readonly files: number;
  readonly usage: { readonly tokens: number; readonly cost: number | null };
  readonly questions: readonly Question[];
  /** Changes when the settings do. */
  readonly settings: string;
  /** The names of the branches, the one in use first. */
  readonly branches: readonly string[];
  /** Ids of cells that ran, but not on the branch in use. */
  readonly stale: ReadonlySet<string>;
  /** What is prepared for the sandbox now; null if nothing is. */
  readonly preparing: string | null;
}

/** What the kernel said about a request that failed; `hint` is the next step, `field` the argument at fault. */
export class Refused extends Error {
  constructor(
    message: string,
    readonly hint: string | null,
    readonly field = "",
  ) {
    super(message);
  }
}

/** An error in words: what happened, and the next step. */
export function reason(error: unknown): string {
  if (error instanceof Refused && error.hint) return `${error.message} ${error.hint}`;
  return error instanceof Error ? error.message : String(error);
}

export type Fields = Record<string, unknown>;

/** An object of a message; empty for anything else. */
export function fields(value: unknown): Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : {};
}

export function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

/** The texts of a list in a message. */
export function texts(value: unknown): string[] {
  return list(value).map(text);
}

function textOrNull(value: unknown): string | null {
  return typeof value === "string" ? value : null;
}

/** A number of a message; 0 for anything else. */
export function count(value: unknown): number {
  return typeof value === "number" && Number.isFinite(value) ? value : 0;
}

/** A list of a message; empty for anything else. */
export function list(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

/** The state in a message. Fields of the wrong type count as missing. */
export function readState(value: unknown): State {
  const given = fields(value);
  const container = fields(given["container"]);
  const usage = fields(given["usage"]);
  return {
    model: textOrNull(given["model"]),
    container: {
      id: textOrNull(container["id"]),
      sandbox: text(container["sandbox"]),
      isolation: text(container["isolation"]),
    },
    cell: given["cell"] == null ? null : readCell(fields(given["cell"])),
    newest: count(given["newest"]),
    files: count(given["files"]),
    usage: {
      tokens: count(usage["input_tokens"]) + count(usage["output_tokens"]),
      cost: typeof usage["cost"] === "number" ? usage["cost"] : null,
    },
    questions: list(given["questions"]).map((each) => readQuestion(fields(each))),
    settings: text(given["settings"]),
    branches: texts(given["branches"]),
    stale: new Set(texts(given["stale"])),
    preparing: textOrNull(given["preparing"]),
  };
}

function readCell(given: Fields): RunningCell {
  return {
    id: textOrNull(given["id"]),
    number: count(given["number"]),
    seconds: count(given["seconds"]),
    step: text(given["step"]),
  };
}

function readQuestion(given: Fields): Question {
  return {
    id: text(given["id"]),
    commands: texts(given["commands"]),
    reason: text(given["reason"]),
    kind: text(given["kind"]),
    editable: given["editable"] === true,
    about: text(given["about"]),
    cell: textOrNull(given["cell"]),
  };
}

export type Arguments = JSONObject;
