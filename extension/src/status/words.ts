/** The state in words. Pure. */

import type { TranslationBundle } from "@jupyterlab/translation";

import type { State } from "../connection/messages";
import type { Reach } from "../connection/notebook";

export interface Place {
  readonly at: number;
  readonly of: number;
}

export function duration(seconds: number): string {
  const whole = Math.floor(Math.max(0, seconds));
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

/** What the kernel does: "Cell 3 of 8, 12 s", or "3/8, 12 s". `later` are seconds since the state arrived. */
export function doing(
  state: State,
  place: Place | null,
  later: number,
  trans: TranslationBundle,
  short = false,
): string {
  const { cell } = state;
  if (!cell) return trans.__("Idle");
  if (state.questions.length > 0) return short ? trans.__("Approve?") : trans.__("Waiting for you");
  if (place && short) return `${place.at}/${place.of}, ${duration(cell.seconds + later)}`;
  const which = place ? trans.__("Cell %1 of %2", place.at, place.of) : trans.__("Cell [%1]", cell.number);
  return `${which}, ${duration(cell.seconds + later)}`;
}

/** What is said of a kernel that messages do not get through to. */
export function unreached(reach: Reach, trans: TranslationBundle): string {
  if (reach === "none") return trans.__("No kernel");
  return reach === "lost" ? trans.__("Not connected") : trans.__("Connecting …");
}

/** The model's name without its provider. */
export function model(state: State, trans: TranslationBundle): string {
  const name = state.model?.split("/").pop();
  return name ? name.replace(/\.ya?ml$/, "") : trans.__("Default model");
}

export function sandbox(state: State, trans: TranslationBundle): string {
  if (!state.container.id) return trans.__("No container yet");
  const { sandbox: name, isolation } = state.container;
  const known: Record<string, string> = { docker: "Docker", bubblewrap: "bubblewrap" };
  const shown = known[name] ?? (name || trans.__("Container"));
  return name === "docker" && isolation !== "runc" && isolation ? `${shown} (${isolation})` : shown;
}

/** Tokens and cost; empty before the first turn. */
export function used(state: State, trans: TranslationBundle): string {
  const { tokens, cost } = state.usage;
  if (tokens === 0) return "";
  const counted = trans.__("%1 tokens", tokens.toLocaleString("en"));
  return cost === null ? counted : `${counted}, $${cost < 0.01 ? cost.toFixed(4) : cost.toFixed(2)}`;
}
