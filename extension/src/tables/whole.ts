/** A whole table of the container, in a file or a variable, which the kernel sends in pieces. */

import type { Connection } from "../connection/connection";
import { count, list, texts } from "../connection/messages";
import type { Table } from "./model";

export interface WholeTable extends Table {
  /** The number of rows, of the beginning if `whole` is false; and of columns. */
  readonly count: number;
  readonly width: number;
  readonly whole: boolean;
}

/** The table in a file, or in a variable of the session. Rejects with `Refused`. */
export async function wholeTable(
  connection: Connection,
  place: { path: string } | { variable: string },
): Promise<WholeTable> {
  const rows: string[][] = [];
  let found: Record<string, unknown>;
  let next: unknown = 0;
  do {
    const offset = next as number;
    found = await connection.request("rows", { ...place, offset });
    rows.push(...list(found["rows"]).map(texts));
    next = found["next"];
    if (typeof next === "number" && next <= offset) break;
  } while (typeof next === "number");
  return {
    names: texts(found["columns"]),
    rows,
    count: count(found["count"]),
    width: count(found["width"]),
    whole: found["whole"] === true,
  };
}
