/** What the kernel says of the cells that have run, and of their branches. */

import { count, type Fields, fields, list, text, texts } from "../connection/messages";
import { readable } from "../dom";

/** A cell that has run: `In [number]`, its id in the notebook, and the files that it wrote. */
export interface Ran {
  readonly number: number;
  readonly cell: string | null;
  readonly words: string;
  readonly began: Date;
  readonly files: readonly string[];
  /** How many further files it wrote. */
  readonly moreFiles: number;
}

/** A cell in the tree: its lanes, whether the branch in use has it, and the branches that end with it. */
export interface TreeCell extends Ran {
  readonly drawn: string;
  readonly here: boolean;
  readonly tokens: number;
  readonly tips: readonly string[];
  /** Why one cannot go back to before it; empty if one can. */
  readonly obstacle: string;
}

export interface Branch {
  readonly name: string;
  readonly cells: number;
  readonly inUse: boolean;
  /** Why it cannot be opened; empty if it can. */
  readonly obstacle: string;
}

/** A cell with the beginning of its prompt and of what its turns said. `stored` is false if an answer is gone. */
export interface Answered extends Ran {
  readonly prompt: string;
  readonly answers: readonly { readonly text: string; readonly isMarkdown: boolean }[];
  readonly stored: boolean;
}

/** A branch from where it parts from another: its first cells of `count`. */
export interface Side {
  readonly name: string;
  readonly count: number;
  readonly cells: readonly Answered[];
}

export function readCells(found: Fields): TreeCell[] {
  return list(found["cells"])
    .map(fields)
    .map((each) => ({
      ...readRan(each),
      drawn: text(each["drawn"]),
      here: each["here"] === true,
      tokens: count(each["tokens"]),
      tips: texts(each["tips"]).map(readable),
      obstacle: text(each["obstacle"]),
    }));
}

export function readBranches(found: Fields): Branch[] {
  return list(found["branches"])
    .map(fields)
    .map((each) => ({
      name: text(each["name"]),
      cells: count(each["cells"]),
      inUse: each["in_use"] === true,
      obstacle: text(each["obstacle"]),
    }));
}

export function readSides(found: Fields): Side[] {
  return list(found["sides"])
    .map(fields)
    .map((each) => ({
      name: text(each["name"]),
      count: count(each["count"]),
      cells: list(each["cells"]).map(fields).map(readAnswered),
    }));
}

function readAnswered(given: Fields): Answered {
  return {
    ...readRan(given),
    prompt: readable(text(given["prompt"])),
    answers: list(given["answers"])
      .map(fields)
      .map((each) => ({ text: readable(text(each["text"])), isMarkdown: each["markdown"] === true })),
    stored: given["stored"] === true,
  };
}

function readRan(given: Fields): Ran {
  return {
    number: count(given["number"]),
    cell: text(given["cell"]) || null,
    words: readable(text(given["words"])),
    began: new Date(count(given["began"]) * 1000),
    files: texts(given["files"]).map(readable),
    moreFiles: count(given["more_files"]),
  };
}
