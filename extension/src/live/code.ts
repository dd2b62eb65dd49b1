/** Commands and code, coloured for reading. */

import { element } from "../dom";
import { pythonTokens } from "./python";
import { shellTokens } from "./shell";
import { readable } from "./text";

const COLOURED = 4000; // characters of a text; the rest is plain

/** A piece of a text and its kind, "" for none; the pieces joined are the text. */
export type Piece = [kind: string, text: string];

export function drawCommand(node: HTMLElement, text: string): void {
  node.replaceChildren();
  element("span", "agent-shell-prompt", node, "$ ").setAttribute("aria-hidden", "true");
  draw(node, text, shellTokens);
}

export function drawPython(node: HTMLElement, text: string): void {
  node.replaceChildren();
  draw(node, text, pythonTokens);
}

function draw(node: HTMLElement, text: string, tokens: (text: string) => Piece[]): void {
  const clean = readable(text).replace(/\n$/, "");
  for (const [kind, token] of tokens(clean.slice(0, COLOURED))) {
    if (kind) element("span", `agent-shell-${kind}`, node, token);
    else node.append(token);
  }
  node.append(clean.slice(COLOURED));
}
