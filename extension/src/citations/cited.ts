/** The citations below an answer: what they lead to, and the click on one. */

import { count, fields, list, text, texts } from "../connection/messages";
import type { Output } from "../record/outputs";
import type { Citation } from "./chosen";

const BLOCK = ".agent-kernel-cited";

/** Passages of one document, as the kernel shows them below an answer. */
const MOST = 2;

const PLACE = /^\[(page|slide|sheet) (.{1,60})\]$/gm;
const HEADING = /^#{1,6}[ \t]+(\S.{0,79})/m;

/** The citations of an answer, a list for each document that it cites. `before` are the outputs above it. */
function citationsOf(output: Output, before: readonly Output[]): Citation[][] {
  const found = before
    .filter(({ item }) => item?.["type"] === "file_search_call")
    .flatMap(({ item }) => list(item?.["results"]).map(fields))
    .sort((one, other) => count(other["score"]) - count(one["score"]));
  return list(output.about["cited"])
    .map(fields)
    .map((cited) =>
      texts(cited["files"]).flatMap((file) => {
        const said = found.filter((each) => each["file_id"] === file).map((each) => text(each["text"]));
        const name = text(cited["name"]);
        return [...new Set(said)]
          .slice(0, MOST)
          .map((each) => ({ name, place: place(each), file, text: each }));
      }),
    );
}

/** Where a passage stands, such as "section Cooling"; empty if it does not say. */
function place(passage: string): string {
  const marks = [...passage.matchAll(PLACE)];
  const [first, last] = [marks[0], marks.at(-1)];
  if (first && last) {
    const [, kind = "", from = ""] = first;
    const to = last[2] ?? "";
    return from === to ? `${kind} ${from}` : `${kind}s ${from} to ${to}`;
  }
  const heading = HEADING.exec(passage)?.[1]?.trim();
  return heading ? `section ${heading}` : "";
}

/** Opens what is clicked below an answer, by the keyboard too. `signal` ends that. */
export function openOnClick(
  node: HTMLElement,
  output: Output,
  before: readonly Output[],
  open: (citations: readonly Citation[], at: number) => void,
  signal: AbortSignal,
): void {
  if (!list(output.about["cited"]).length) return;
  const click = (event: MouseEvent) => {
    const summary = event.target instanceof Element ? event.target.closest("summary") : null;
    const block = summary?.closest(BLOCK);
    if (!summary || !block || !node.contains(block)) return;
    const documents = citationsOf(output, before);
    const index = [...block.children].findIndex((each) => each.contains(summary));
    if (!documents[index]?.length) return; // then it unfolds
    event.preventDefault();
    open(documents.flat(), documents.slice(0, index).flat().length);
  };
  node.addEventListener("click", click, { signal });
}
