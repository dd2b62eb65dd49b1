/** The parts of a command. This does not need to parse the whole shell language. */

import type { Piece } from "./code";

const KEYWORDS = new Set(
  "if then elif else fi for while until do done case esac in select function time { } [[ ]] !".split(" "),
);
const OPENS_COMMAND = new Set("if then elif else while until do time { !".split(" "));
const TOKEN = new RegExp(
  [
    /(?<space>[ \t]+|\\\n)/,
    /(?<newline>\n)/,
    /(?<heredoc><<-?[ \t]*(?<quote>['"]?)(?<tag>\w+)\k<quote>)/,
    /(?<operator>[|&;()<>]+)/,
    /(?<string>\$?'(?:[^'])*'?|"(?:\\[^]|[^"\\])*"?)/,
    /(?<variable>\$(?:\w+|\{[^}\n]*\}?|[?#@*!$-]))/,
    /(?<word>(?:\\[^]|[^\s|&;()<>'"$\\])+|[^])/,
  ]
    .map((pattern) => pattern.source)
    .join("|"),
  "y",
);

export function shellTokens(text: string): Piece[] {
  return new Reader(text).read();
}

class Reader {
  constructor(private readonly _text: string) {}

  read(): Piece[] {
    while (this._at < this._text.length) if (!this._comment()) this._token();
    return this._pieces;
  }

  private _comment(): boolean {
    const before = this._text[this._at - 1] ?? "\n";
    if (this._text[this._at] !== "#" || !/[\s;|&()]/.test(before)) return false;
    const end = this._text.indexOf("\n", this._at);
    this._push("comment", this._text.slice(this._at, end < 0 ? undefined : end));
    return true;
  }

  private _token(): void {
    TOKEN.lastIndex = this._at;
    const found = TOKEN.exec(this._text);
    const token = found?.[0] ?? "";
    const { newline, heredoc, tag, operator, string, variable, word } = found?.groups ?? {};
    if (newline) {
      this._push("", token);
      this._opens = true;
      if (this._tag) this._document(this._tag);
    } else if (heredoc) {
      this._tag = tag ?? "";
      this._push("operator", token);
    } else if (operator) {
      this._opens = !/^[<>&]*[<>]&?$/.test(token);
      this._push("operator", token);
    } else if (word) this._push(this._kind(token), token);
    else {
      if (string ?? variable) this._opens = false;
      this._push(string ? "string" : variable ? "variable" : "", token);
    }
  }

  /** Reads a here-document to the line that ends it. */
  private _document(tag: string): void {
    const rest = this._text.slice(this._at);
    const end = new RegExp(`^\\t*${tag}$`, "m").exec(rest);
    this._push("string", end ? rest.slice(0, end.index) : rest);
    this._push("keyword", end?.[0] ?? "");
    this._tag = "";
  }

  private _kind(word: string): string {
    const opens = this._opens;
    if (KEYWORDS.has(word) && (opens || word === "in" || word === "]]")) {
      this._opens = OPENS_COMMAND.has(word);
      return "keyword";
    }
    if (opens && /^\w+\+?=/.test(word)) return "variable"; // the command comes after it
    this._opens = false;
    if (opens) return "command";
    if (/^--?[A-Za-z]/.test(word)) return "option";
    return /^\d+(\.\d+)?$/.test(word) ? "number" : "";
  }

  private _push(kind: string, text: string): void {
    this._pieces.push([kind, text]);
    this._at += text.length;
  }

  private readonly _pieces: Piece[] = [];
  private _at = 0;
  /** Whether the next word is the name of a command. */
  private _opens = true;
  /** The word that ends the here-document which begins on the next line. */
  private _tag = "";
}
