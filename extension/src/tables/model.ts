/** A table of texts: the type of each column, its missing values and distribution, sorted and filtered. Pure. */

export type Row = readonly string[];

export interface Column {
  readonly name: string;
  readonly type: "number" | "text" | "empty";
  readonly missing: number;
  /** Of numbers: rows per bin, from the least to the greatest. Of texts: the most frequent, with their counts. */
  readonly distribution: readonly { readonly label: string; readonly count: number }[];
}

export interface Table {
  readonly names: readonly string[];
  readonly rows: readonly Row[];
}

export interface Query {
  readonly filter: string;
  /** The column to sort by; null for the order of the table. */
  readonly by: number | null;
  readonly descending: boolean;
}

const MISSING = new Set(["", "nan", "na", "n/a", "none", "null", "nat", "<na>"]);
const NUMBER = /^[+-]?(?:\d[\d,]*(?:\.\d+)?|\.\d+)(?:e[+-]?\d+)?%?$/i;
const BINS = 10;
const TOP = 3;

export function isMissing(cell: string): boolean {
  return MISSING.has(cell.trim().toLowerCase());
}

/** The number that a cell is written as; null if it is not one. */
export function numberOf(cell: string): number | null {
  const text = cell.trim();
  return NUMBER.test(text) ? Number(text.replaceAll(",", "").replace("%", "")) : null;
}

export function columns(table: Table): Column[] {
  return table.names.map((name, index) => {
    const cells = table.rows.map((row) => row[index] ?? "");
    const present = cells.filter((cell) => !isMissing(cell));
    const numbers = present.map(numberOf).filter((value) => value !== null);
    const missing = cells.length - present.length;
    if (present.length === 0) return { name, type: "empty", missing, distribution: [] };
    return numbers.length === present.length
      ? { name, type: "number", missing, distribution: histogram(numbers) }
      : { name, type: "text", missing, distribution: frequent(present) };
  });
}

function histogram(values: readonly number[]): Column["distribution"] {
  const least = values.reduce((a, b) => Math.min(a, b));
  const greatest = values.reduce((a, b) => Math.max(a, b));
  const bins = least === greatest ? 1 : BINS;
  const step = (greatest - least) / bins || 1;
  const counts = new Array<number>(bins).fill(0);
  for (const value of values) {
    const bin = Math.min(bins - 1, Math.floor((value - least) / step));
    counts[bin] = (counts[bin] ?? 0) + 1;
  }
  return counts.map((count, bin) => ({
    label:
      bins === 1 ? rounded(least) : `${rounded(least + bin * step)} – ${rounded(least + (bin + 1) * step)}`,
    count,
  }));
}

function rounded(value: number): string {
  return `${Number(value.toPrecision(4))}`;
}

function frequent(values: readonly string[]): Column["distribution"] {
  const counts = new Map<string, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts]
    .sort(([a, m], [b, n]) => n - m || a.localeCompare(b))
    .slice(0, TOP)
    .map(([label, count]) => ({ label, count }));
}

/** The rows that have the filter's text, in the order that is asked for. Missing values come last. */
export function selected(table: Table, { filter, by, descending }: Query): Row[] {
  const wanted = filter.trim().toLowerCase();
  const found = table.rows.filter(
    (row) => !wanted || row.some((cell) => cell.toLowerCase().includes(wanted)),
  );
  if (by === null) return found;
  const sign = descending ? -1 : 1;
  const keyed = found.map((row) => ({ row, cell: row[by] ?? "", number: numberOf(row[by] ?? "") }));
  keyed.sort((a, b) => {
    const lacking = Number(isMissing(a.cell)) - Number(isMissing(b.cell));
    if (lacking !== 0) return lacking;
    if (a.number !== null && b.number !== null) return sign * (a.number - b.number);
    if (a.number !== null || b.number !== null) return sign * (a.number !== null ? -1 : 1);
    return sign * a.cell.localeCompare(b.cell);
  });
  return keyed.map(({ row }) => row);
}

/** A table as CSV. A cell that a spreadsheet would take for a formula is kept as it is: it is data. */
export function csv(names: readonly string[], rows: readonly Row[]): string {
  const cell = (text: string) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  return [names, ...rows].map((row) => `${row.map(cell).join(",")}\n`).join("");
}
