/** The whole table of a file in the container, which the kernel sends in pieces. */

import type { Connection } from "../connection/connection";
import { text } from "../connection/messages";
import type { Table } from "./model";

export interface WholeTable extends Table {
  /** The number of rows in the file, or in its beginning if `whole` is false. */
  readonly count: number;
  readonly whole: boolean;
}

/** The table at a path. Rejects with `Refused`. */
export async function wholeTable(connection: Connection, path: string): Promise<WholeTable> {
  const rows: string[][] = [];
  let found: Record<string, unknown>;
  let next: unknown = 0;
  do {
    const offset = next as number;
    found = await connection.request("rows", { path, offset });
    rows.push(...list(found["rows"]).map((row) => list(row).map(text)));
    next = found["next"];
    if (typeof next === "number" && next <= offset) break;
  } while (typeof next === "number");
  const count = typeof found["count"] === "number" ? found["count"] : rows.length;
  return { names: list(found["columns"]).map(text), rows, count, whole: found["whole"] === true };
}

function list(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}
