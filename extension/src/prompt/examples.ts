/** The example question in an empty cell. Pure. */

import type { TranslationBundle } from "@jupyterlab/translation";

import { mentioned } from "../files/mention";

const TABLES = /\.(csv|tsv|xlsx|xls|ods|parquet|feather|json|jsonl|sqlite|db|dta|sav|sas7bdat)$/i;
const PICTURES = /\.(png|jpe?g|gif|webp)$/i;

/** A question that fits these files, and what else a cell takes. */
export function example(files: readonly string[], trans: TranslationBundle): string {
  const table = files.find((name) => TABLES.test(name));
  const picture = files.find((name) => PICTURES.test(name));
  const question = table
    ? trans.__("What is in %1?", mentioned(table))
    : picture
      ? trans.__("What does %1 show?", mentioned(picture))
      : trans.__("Draw the first 20 prime numbers as a chart.");
  return trans.__("Ask a question, for example: %1", question);
}
