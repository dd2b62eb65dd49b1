/** Example questions for an empty cell. Pure. */

import type { TranslationBundle } from "@jupyterlab/translation";

import { mentioned } from "../files/mention";

const TABLES = /\.(csv|tsv|xlsx|xls|ods|parquet|feather|json|jsonl|sqlite|db|dta|sav|sas7bdat)$/i;
const PICTURES = /\.(png|jpe?g|gif|webp)$/i;
const TEXTS = /\.(md|txt|pdf|docx|html?|ipynb)$/i;
const READABLE = /^[\p{L}\p{M}\p{N}\p{P}\p{S} ]{1,60}$/u;
const MOST = 3;

/** A file that a question can be about: in the container, or only in the notebook's folder. */
export interface NamedFile {
  readonly path: string;
  readonly inContainer: boolean;
}

/** At most three questions, those that fit the files first. Files with unreadable names are left out. */
export function examples(files: readonly NamedFile[], trans: TranslationBundle): string[] {
  const known = files.filter((each) => READABLE.test(each.path));
  const named = (type: RegExp): string[] => known.filter((each) => type.test(each.path)).map(written);
  const [table, other] = named(TABLES);
  const [picture] = known.filter((each) => PICTURES.test(each.path) && !each.inContainer).map(written);
  const [text] = named(TEXTS);
  const found: (string | undefined)[] = [
    table && trans.__("What is in %1?", table),
    table && other && trans.__("How are %1 and %2 related?", table, other),
    picture && trans.__("What does %1 show?", picture),
    text && trans.__("Summarize %1.", text),
    table && trans.__("Draw a chart of %1.", table),
    trans.__("Draw the first 20 prime numbers as a chart."),
    trans.__("Make a table of the planets, and save it as planets.csv."),
    trans.__("Which Python packages can you use here?"),
  ];
  return found.filter((each) => each !== undefined).slice(0, MOST);
}

/** A file of the notebook's folder is mentioned, which uploads it; one in the container is only named. */
function written({ path, inContainer }: NamedFile): string {
  if (!inContainer) return mentioned(path);
  return path.includes(" ") ? `"${path}"` : path;
}
