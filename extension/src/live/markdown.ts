/**
 * An answer's Markdown while it is being written, read by markdown-it and drawn one node at a time. Raw HTML is
 * text, no picture is fetched, and links must use http, https or mailto. When the turn has ended, the kernel's
 * own renderer takes over.
 */

import MarkdownIt from "markdown-it";

import { element } from "../dom";
import { readable } from "./text";

const PARSER = new MarkdownIt({ html: false });
PARSER.validateLink = () => true; // a link that is not allowed keeps its text, see `link`

const PROTOCOLS = ["http:", "https:", "mailto:"];

type Token = ReturnType<typeof PARSER.parse>[number];

/** Draws a growing text: only the blocks that changed are built again. */
export class Markdown {
  constructor(parent: HTMLElement) {
    this._node = element("div", "agent-live-message", parent);
  }

  draw(text: string): void {
    const source = readable(text);
    const env: Parameters<typeof PARSER.parse>[1] = {};
    const found = blocks(PARSER.parse(source, env));
    const lines = source.split("\n");
    const shared = JSON.stringify(env.references ?? {}); // a link may be defined far from its text
    const sources = found.map(([first]) => shared + lines.slice(...(first.map ?? [])).join("\n"));
    found.forEach((tokens, number) => {
      if (this._sources[number] === sources[number]) return;
      const made = document.createDocumentFragment();
      build(made, tokens);
      const old = this._node.children[number];
      if (old) old.replaceWith(made);
      else this._node.append(made);
    });
    this._sources = sources;
    while (this._node.children.length > found.length) this._node.lastElementChild?.remove();
  }

  private readonly _node: HTMLElement;
  private _sources: string[] = [];
}

/** Appends a sentence with its marks for code and emphasis. */
export function sentence(parent: HTMLElement, text: string): void {
  build(parent, PARSER.parseInline(readable(text), {}));
}

/** The tokens of each block of a document. */
function blocks(tokens: Token[]): [Token, ...Token[]][] {
  const found: [Token, ...Token[]][] = [];
  let depth = 0;
  for (const token of tokens) {
    if (depth === 0) found.push([token]);
    else found.at(-1)?.push(token);
    depth += token.nesting;
  }
  return found;
}

function build(parent: ParentNode, tokens: readonly Token[]): void {
  const open = [parent];
  for (const token of tokens) {
    const at = open.at(-1) ?? parent;
    if (token.nesting < 0) open.pop();
    else if (token.nesting > 0) {
      const made = token.hidden ? at : opened(token); // the paragraphs of a list without empty lines
      if (made !== at) at.append(made);
      open.push(made);
    } else leaf(at, token);
  }
}

function opened(token: Token): HTMLElement {
  if (token.type === "link_open") return link(attribute(token, "href"));
  const made = document.createElement(token.tag);
  const start = attribute(token, "start");
  const side = /^text-align:(\w+)$/.exec(attribute(token, "style"));
  if (made instanceof HTMLOListElement && start) made.start = Number(start);
  if (side?.[1]) made.style.textAlign = side[1];
  return made;
}

function leaf(at: ParentNode, token: Token): void {
  switch (token.type) {
    case "inline":
      build(at, token.children ?? []);
      return;
    case "fence":
    case "code_block": {
      const pre = element("pre", "agent-live-code");
      pre.append(tagged("code", token.content));
      at.append(pre);
      return;
    }
    case "code_inline":
      at.append(tagged("code", token.content));
      return;
    case "image": {
      const made = link(attribute(token, "src"));
      made.append(token.content || attribute(token, "src"));
      at.append(made);
      return;
    }
    case "hr":
    case "hardbreak":
      at.append(document.createElement(token.tag));
      return;
    case "softbreak":
      at.append("\n");
      return;
    default:
      at.append(token.content);
  }
}

function tagged(name: string, text: string): HTMLElement {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}

function attribute(token: Token, name: string): string {
  return String(token.attrGet(name) ?? "");
}

/** An element for the text of a link; no link if its address is not allowed. */
function link(address: string): HTMLElement {
  const url = URL.canParse(address) ? new URL(address) : null;
  if (!url || !PROTOCOLS.includes(url.protocol)) return document.createElement("span");
  const made = document.createElement("a");
  made.href = made.title = url.href;
  made.target = "_blank";
  made.rel = "noopener noreferrer";
  return made;
}
