/** The head of a column: its name, which sorts, its type, what is missing, and its distribution. */

import type { TranslationBundle } from "@jupyterlab/translation";

import { button, element, readable } from "../dom";
import type { Column } from "./model";

export function columnHead(
  column: Column,
  rows: number,
  order: "none" | "ascending" | "descending",
  sort: () => void,
  trans: TranslationBundle,
): HTMLElement {
  const head = element("th", column.type === "number" ? "jp-agent-number" : "");
  head.scope = "col";
  head.setAttribute("aria-sort", order);
  const mark = order === "none" ? "" : order === "ascending" ? " ▲" : " ▼";
  const name = button(`${readable(column.name)}${mark}`, head, sort, "jp-agent-table-sort");
  name.title = trans.__("Sort by this column");
  element("div", "jp-agent-table-type", head, described(column, trans));
  if (column.type === "number") head.append(histogram(column));
  if (column.type === "text") head.append(frequent(column, rows, trans));
  return head;
}

function described(column: Column, trans: TranslationBundle): string {
  const type = { number: trans.__("number"), text: trans.__("text"), empty: trans.__("empty") }[column.type];
  return column.missing ? `${type}, ${trans.__("%1 missing", column.missing.toLocaleString("en"))}` : type;
}

/** Bars, one per bin; the words say the same to those who do not see them. */
function histogram(column: Column): HTMLElement {
  const node = element("div", "jp-agent-table-bars");
  const most = Math.max(...column.distribution.map(({ count }) => count));
  const words = column.distribution.map(({ label, count }) => `${label}: ${count}`).join("; ");
  node.setAttribute("role", "img");
  node.setAttribute("aria-label", words);
  for (const { label, count } of column.distribution) {
    const bar = element("span", "", node);
    bar.style.height = `${Math.round((100 * count) / most)}%`;
    bar.title = `${label}: ${count}`;
  }
  return node;
}

function frequent(column: Column, rows: number, trans: TranslationBundle): HTMLElement {
  const node = element("div", "jp-agent-table-top");
  if (rows > 1 && column.distribution.every(({ count }) => count === 1)) {
    element("div", "", node, trans.__("all different"));
    return node;
  }
  for (const { label, count } of column.distribution) {
    const line = element("div", "", node, `${readable(label)} ${count}`);
    line.style.setProperty("--jp-agent-share", `${Math.round((100 * count) / Math.max(1, rows))}%`);
  }
  return node;
}
