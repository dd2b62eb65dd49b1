/** A table that can be sorted, filtered and paged, with the type and distribution of each column. */

import type { TranslationBundle } from "@jupyterlab/translation";

import { button, element, readable } from "../dom";
import { type Column, columns, csv, type Query, type Row, selected, type Table } from "./model";
import { columnHead } from "./head";

const PAGE = 20;

export class TableView {
  readonly node = element("div", "jp-agent-table");

  constructor(
    private _table: Table,
    private readonly _trans: TranslationBundle,
  ) {
    const bar = this._bar;
    this.node.append(bar);
    this._filter.type = "search";
    this._filter.placeholder = _trans.__("Filter the rows");
    this._filter.setAttribute("aria-label", _trans.__("Filter the rows"));
    this._filter.addEventListener("input", () => this._ask({ filter: this._filter.value }));
    bar.append(this._filter);
    this._said = element("span", "jp-agent-table-said", bar);
    this._said.setAttribute("role", "status");
    this._back = button(_trans.__("Previous page"), bar, () => this._turn(-1));
    this._on = button(_trans.__("Next page"), bar, () => this._turn(1));
    const scroll = element("div", "jp-agent-table-scroll", this.node);
    scroll.tabIndex = 0;
    scroll.setAttribute("role", "region");
    scroll.setAttribute("aria-label", _trans.__("Table"));
    const table = element("table", "", scroll);
    this._head = table.createTHead();
    this._body = table.createTBody();
    this.show(_table);
  }

  /** The table as CSV: the rows that the filter leaves, in the order that is shown. */
  get csv(): string {
    return csv(this._table.names, this._rows);
  }

  /** Shows another table in place of the present one. `note` says what is known of it. */
  show(table: Table, note = ""): void {
    this._table = table;
    this._note = note;
    this._columns = columns(table);
    this._ask({ by: null });
  }

  /** Offers to load the whole table. A failure is told. */
  offer(load: () => Promise<void>): void {
    const made = button(this._trans.__("Load the whole file"), this._bar, () => {
      made.disabled = true;
      load().then(
        () => {
          made.remove();
        },
        (error: unknown) => {
          made.disabled = false;
          this._said.textContent = error instanceof Error ? error.message : "";
        },
      );
    });
  }

  private _ask(change: Partial<Query>): void {
    this._query = { ...this._query, ...change };
    this._rows = selected(this._table, this._query);
    this._page = 0;
    this._draw();
  }

  private _turn(step: number): void {
    this._page += step;
    this._draw();
  }

  private _draw(): void {
    const pages = Math.max(1, Math.ceil(this._rows.length / PAGE));
    const focused = [...this._head.querySelectorAll("button")].indexOf(
      document.activeElement as HTMLButtonElement,
    );
    const line = element("tr", "");
    this._columns.forEach((column, index) => {
      const order = this._query.by !== index ? "none" : this._query.descending ? "descending" : "ascending";
      line.append(columnHead(column, this._table.rows.length, order, () => this._sort(index), this._trans));
    });
    this._head.replaceChildren(line);
    if (focused >= 0) this._head.querySelectorAll("button")[focused]?.focus();
    const shown = this._rows.slice(this._page * PAGE, (this._page + 1) * PAGE);
    this._body.replaceChildren(...shown.map((row) => this._line(row)));
    this._back.disabled = this._page === 0;
    this._on.disabled = this._page + 1 >= pages;
    const said = this._trans.__(
      "%1 of %2 rows, page %3 of %4",
      this._rows.length.toLocaleString("en"),
      this._table.rows.length.toLocaleString("en"),
      this._page + 1,
      pages,
    );
    this._said.textContent = this._note ? `${said}. ${this._note}` : said;
  }

  private _line(row: Row): HTMLTableRowElement {
    const line = element("tr", "");
    this._columns.forEach((column, index) => {
      element("td", column.type === "number" ? "jp-agent-number" : "", line, readable(row[index] ?? ""));
    });
    return line;
  }

  /** Sorts by a column: up, then down, then as the table is. */
  private _sort(index: number): void {
    const { by, descending } = this._query;
    if (by !== index) this._ask({ by: index, descending: false });
    else if (!descending) this._ask({ descending: true });
    else this._ask({ by: null, descending: false });
  }

  private readonly _bar = element("div", "jp-agent-table-bar");
  private readonly _filter = element("input", "jp-agent-table-filter");
  private readonly _said: HTMLElement;
  private readonly _back: HTMLButtonElement;
  private readonly _on: HTMLButtonElement;
  private readonly _head: HTMLTableSectionElement;
  private readonly _body: HTMLTableSectionElement;
  private _columns: readonly Column[] = [];
  private _query: Query = { filter: "", by: null, descending: false };
  private _rows: readonly Row[] = [];
  private _page = 0;
  private _note = "";
}
