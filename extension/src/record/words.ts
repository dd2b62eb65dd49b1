/** What is copied of an output, and the cells that are made of one. Pure. */

import type { TranslationBundle } from "@jupyterlab/translation";

import { fields, text } from "../connection/messages";
import { commandsOf } from "./classify";
import { type Output, textOf } from "./outputs";

const ESCAPES = /\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])/g; // eslint-disable-line no-control-regex

/** What the copy button of an item copies; empty if there is nothing to copy. */
export function copied(output: Output): string {
  const type = text(output.item?.["type"]);
  if (type === "shell_call" || type === "code_interpreter_call") return commandsOf(output.item).join("\n");
  if (type === "shell_call_output") return results(output).map(printed).join("").replace(ESCAPES, "");
  if (type === "message") return textOf(output, "text/markdown");
  return output.item ? textOf(output, "text/plain") : "";
}

function results(output: Output): Record<string, unknown>[] {
  const given = output.item?.["output"];
  return Array.isArray(given) ? given.map(fields) : [];
}

function printed(result: Record<string, unknown>): string {
  return text(result["stdout"]) + text(result["stderr"]);
}

/** A command or code that failed, as a prompt can name it. */
export interface Failure {
  /** The command; empty for an error of the cell itself. */
  readonly what: string;
  /** How it ended, such as `exit 1`. */
  readonly how: string;
  /** The last line that it printed. */
  readonly said: string;
}

/** The first failure in an output; null if there is none. `call` is the call that the output belongs to. */
export function failure(output: Output, call: Output | undefined): Failure | null {
  if (output.type === "error") return raised(textOf(output, "application/vnd.jupyter.error"));
  const type = text(output.item?.["type"]);
  if (type === "code_interpreter_call") return ofCode(output);
  if (type !== "shell_call_output") return null;
  const at = results(output).findIndex((result) => ending(result) !== "");
  const result = results(output)[at];
  if (!result) return null;
  const what = commandsOf(call?.item ?? null)[at] ?? "";
  return { what, how: ending(result), said: lastLine(text(result["stderr"]) || text(result["stdout"])) };
}

/** The name and message of a Jupyter error; null for an interruption, which is not a failure. */
export function raised(message: string): Failure | null {
  return !message || message.startsWith("KeyboardInterrupt")
    ? null
    : { what: "", how: "", said: lastLine(message) };
}

function ofCode(output: Output): Failure | null {
  const given = fields(output.item?.["agent_kernel"])["outputs"];
  const errors = (Array.isArray(given) ? given.map(fields) : []).filter(
    (each) => each["output_type"] === "error",
  );
  const error = errors[0];
  if (!error && output.item?.["status"] !== "failed") return null;
  const said = error ? `${text(error["ename"])}: ${text(error["evalue"])}` : "";
  return { what: commandsOf(output.item)[0] ?? "", how: "", said: lastLine(said) };
}

function ending(result: Record<string, unknown>): string {
  const outcome = fields(result["outcome"]);
  if (outcome["type"] === "timeout") return "timed out";
  const code = outcome["exit_code"];
  return typeof code === "number" && code !== 0 ? `exit ${code}` : "";
}

function lastLine(said: string): string {
  return said.replace(ESCAPES, "").trimEnd().split("\n").at(-1) ?? "";
}

const LONGEST = 300;

/** Text of a command or a file within a prompt: one line of code, in which no `@file` and no `%line` counts. */
export function quoted(said: string): string {
  const line = said
    .replace(/[\p{Cc}\p{Cf}\s]+/gu, " ")
    .replaceAll("`", "'")
    .trim();
  return `\`${line.length > LONGEST ? `${line.slice(0, LONGEST - 1)}…` : line}\``;
}

/** The prompt that asks to repair what failed, or to explain it. */
export function prompt(failed: Failure, wish: "fix" | "explain", trans: TranslationBundle): string {
  const what = failed.what
    ? trans.__("This command failed: %1", quoted(failed.what))
    : trans.__("The cell above failed.");
  const how = failed.how ? ` (${failed.how})` : "";
  const said = failed.said ? ` ${trans.__("Its last output was %1.", quoted(failed.said))}` : "";
  const asked =
    wish === "fix"
      ? trans.__("Find out why, and fix it.")
      : trans.__("Explain why, in plain words. Do not change anything.");
  return `${what}${how}.${said} ${asked}`.replace("..", ".");
}

const HERE = /^\s*python[0-9.]*[ \t]*-?[ \t]*<<-?[ \t]*(['"]?)(\w+)\1[ \t]*\n([\s\S]*?)\n?\2\s*$/;
const BEHIND_C = /^\s*python[0-9.]*[ \t]+-c[ \t]+'([^']*)'\s*$/;

/** The source of the cell that runs the same; null if the output is no command or code. */
export function asCell(output: Output): { kind: "python" | "shell"; source: string } | null {
  const type = text(output.item?.["type"]);
  const commands = commandsOf(output.item).filter(Boolean);
  const first = commands[0];
  if (first === undefined) return null;
  if (type === "code_interpreter_call") return { kind: "python", source: `%%python\n${first}` };
  if (type !== "shell_call") return null;
  const program = commands.length === 1 ? (HERE.exec(first)?.[3] ?? BEHIND_C.exec(first)?.[1]) : undefined;
  if (program !== undefined) return { kind: "python", source: `%%python\n${program}` };
  return { kind: "shell", source: `%%bash\n${commands.join("\n")}` };
}
