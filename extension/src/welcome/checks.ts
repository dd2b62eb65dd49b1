/** The list of what is ready and what is missing, each with the next step. */

import type { TranslationBundle } from "@jupyterlab/translation";

import { fields, list, text } from "../connection/messages";
import { element, readable } from "../dom";

export interface Check {
  readonly name: string;
  readonly ok: boolean;
  readonly needed: boolean;
  readonly detail: string;
  readonly hint: string;
}

/** The checks in the answer of `readiness`. */
export function readChecks(answer: Record<string, unknown>): Check[] {
  return list(answer["checks"]).map((each) => {
    const given = fields(each);
    return {
      name: text(given["name"]),
      ok: given["ok"] === true,
      needed: given["needed"] === true,
      detail: text(given["detail"]),
      hint: text(given["hint"]),
    };
  });
}

/** The checks that have to be mended before a cell can run. */
export function missing(checks: readonly Check[]): Check[] {
  return checks.filter((each) => each.needed && !each.ok);
}

/** Shows the checks in a list, what is missing first. */
export function showChecks(parent: HTMLElement, checks: readonly Check[], trans: TranslationBundle): void {
  parent.replaceChildren();
  const rank = (each: Check): number => (each.ok ? 2 : each.needed ? 0 : 1);
  for (const check of [...checks].sort((one, other) => rank(one) - rank(other))) {
    const [state, word] = check.ok
      ? ["ok", trans.__("Ready")]
      : check.needed
        ? ["missing", trans.__("Missing")]
        : ["optional", trans.__("Optional")];
    const row = element("li", `jp-agent-check jp-agent-check-${state}`, parent);
    element("span", "jp-agent-check-state", row, word);
    element("strong", "jp-agent-check-name", row, readable(check.name));
    element("span", "jp-agent-check-detail", row, readable(check.detail));
    if (check.hint && !check.ok) element("span", "jp-agent-check-hint", row, readable(check.hint));
  }
}
