/** The table in an output's HTML. It is parsed; nothing in it is loaded. */

import { type Output, textOf } from "../record/outputs";
import type { Table } from "./model";

const MOST_CELLS = 200_000;

/** Whether an output shows a table that `tableOf` can read. */
export function hasTable(output: Output): boolean {
  return textOf(output, "text/html").includes('class="dataframe"');
}

/** The first table of an output; null if it has no header or no row. */
export function tableOf(output: Output): Table | null {
  const page = new DOMParser().parseFromString(textOf(output, "text/html"), "text/html");
  const table = page.querySelector<HTMLTableElement>("table.dataframe");
  const head = table?.tHead?.rows[0] ?? table?.rows[0];
  if (!table || !head) return null;
  const names = cells(head).map((name, index) => name || (index === 0 ? "#" : `${index + 1}`));
  const body = table.tHead ? [...table.tBodies].flatMap((each) => [...each.rows]) : [...table.rows].slice(1);
  const rows = body.slice(0, Math.ceil(MOST_CELLS / Math.max(1, names.length))).map(cells);
  return rows.length ? { names, rows } : null;
}

/** The texts of a row; a cell that spans columns counts once for each. */
function cells(row: HTMLTableRowElement): string[] {
  return [...row.cells].flatMap((cell) => [
    cell.textContent.trim(),
    ...new Array<string>(Math.min(cell.colSpan, 100) - 1).fill(""),
  ]);
}
