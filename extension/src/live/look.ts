/** Colours and styles of a terminal's text, as ansi_up reads them. */

import { AnsiUp } from "ansi_up";

const STYLES = ["bold", "faint", "italic", "underline"] as const;
const COLOURS = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];
const SPAN = /^<span(?: style="([^"]*)")?(?: class="([^"]*)")?>/;

/** The look of the text that follows the sequences taken so far. */
export class Look {
  constructor() {
    this._ansi.use_classes = true;
    for (const name of STYLES) this._ansi[`${name}Style`] = name;
  }

  /** Takes the parameters of a sequence "ESC [ parameters m". */
  take(parameters: string): void {
    if (!/^[\d:;]*$/.test(parameters)) return;
    const codes = parameters.replace(/::?/g, ";");
    const [, styles = "", classes = ""] = SPAN.exec(this._ansi.ansi_to_html(`\x1b[${codes}m_`)) ?? [];
    this._switch(codes);
    this._names = STYLES.filter((name) => styles.split(";").includes(name));
    this._colour = colour(/(?:^|;)color:([^;]*)/.exec(styles), /(\S+)-fg/.exec(classes));
    this._background = colour(/background-color:([^;]*)/.exec(styles), /(\S+)-bg/.exec(classes));
  }

  /** Gives an element this look. */
  dress(span: HTMLElement): void {
    const names: string[] = [...this._names, ...(this._struck ? ["strike"] : [])];
    let [colour, background] = [this._colour, this._background];
    if (this._inverse) [colour, background] = [background ?? "page", colour ?? "text"];
    for (const [property, prefix, value] of [
      ["color", "fg", colour],
      ["background-color", "bg", background],
    ] as const) {
      if (value?.startsWith("rgb")) span.style.setProperty(property, value);
      else if (value !== undefined) names.push(`${prefix}-${value}`);
    }
    span.className = names.map((name) => `agent-ansi-${name}`).join(" ");
  }

  /** Inverse and struck text, which ansi_up does not know. */
  private _switch(codes: string): void {
    for (const code of codes
      .replace(/\b[34]8;(5;\d*|2;\d*;\d*;\d*)/g, "1")
      .split(";")
      .map(Number)) {
      if (code === 7 || code === 27) this._inverse = code === 7;
      else if (code === 9 || code === 29) this._struck = code === 9;
      else if (code === 0) this._inverse = this._struck = false;
    }
  }

  private readonly _ansi = new AnsiUp();
  private _names: readonly (typeof STYLES)[number][] = [];
  private _colour: string | undefined;
  private _background: string | undefined;
  private _inverse = false;
  private _struck = false;
}

/** Returns "rgb(…)", or the number of one of the sixteen colours. */
function colour(rgb: RegExpExecArray | null, name: RegExpExecArray | null): string | undefined {
  if (rgb) return rgb[1];
  const [, bright, base = ""] = /^ansi-(bright-)?(\w+)$/.exec(name?.[1] ?? "") ?? [];
  const number = COLOURS.indexOf(base);
  return number < 0 ? undefined : String(number + (bright ? 8 : 0));
}
