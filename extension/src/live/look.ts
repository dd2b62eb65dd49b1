/** Colours and styles of a terminal's text, as ansi_up reads them. */

import { AnsiUp } from "ansi_up";

import { css, isHued, legible, readableOn, rgbOf } from "./colours";

const STYLES = ["bold", "faint", "italic", "underline"] as const;
const COLOURS = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];
const COLOUR = /\b[345]8;(?:5;\d*|2;\d*;\d*;\d*)/g;
const USUAL_FONT = "10"; // a code that changes nothing
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
    const codes = parameters
      .split(";")
      .map(spread)
      .join(";")
      .replace(COLOUR, (all) => (all.startsWith("58") ? USUAL_FONT : all)); // no colours of underlines
    const [, styles = "", classes = ""] = SPAN.exec(this._ansi.ansi_to_html(`\x1b[${codes}m_`)) ?? [];
    this._switch(codes);
    this._names = STYLES.filter((name) => styles.split(";").includes(name));
    this._colour = colour(/(?:^|;)color:([^;]*)/.exec(styles), /(\S+)-fg/.exec(classes));
    this._background = colour(/background-color:([^;]*)/.exec(styles), /(\S+)-bg/.exec(classes));
  }

  /** Gives an element this look. No colour hides text: the program does not know the page that it is shown on. */
  dress(span: HTMLElement): void {
    const names: string[] = [...this._names, ...(this._struck ? ["strike"] : [])];
    let [colour, background] = [this._colour, this._background];
    if (this._inverse) [colour, background] = [background, colour ?? "text"];
    if (background === undefined || background === "text") {
      if (background) names.push("bg-text", ...(colour ? [] : ["fg-page"]));
      if (colour?.startsWith("rgb")) {
        const text = rgbOf(colour);
        if (isHued(text)) {
          names.push("fg-own");
          span.style.setProperty("--agent-own", css(legible(text, "any")));
          span.style.setProperty("--agent-own-dark", css(legible(text, "dark")));
        }
      } else if (colour) names.push(`fg-${colour}`);
    } else {
      const ground = rgbOf(background);
      span.style.backgroundColor = css(ground);
      span.style.color = css(readableOn(ground, colour === undefined ? undefined : rgbOf(colour)));
    }
    span.className = names.map((name) => `agent-ansi-${name}`).join(" ");
  }

  /** Inverse and struck text, which ansi_up does not know. */
  private _switch(codes: string): void {
    for (const code of codes.replace(COLOUR, USUAL_FONT).split(";").map(Number)) {
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

/**
 * Returns a parameter as it is written with semicolons. In one with colons (ITU-T T.416) the first part is the code,
 * and the others are details of it: the kind of an underline, or a colour with or without a colour space.
 */
function spread(parameter: string): string {
  const [code = "", ...details] = parameter.split(":");
  if (code === "4" && details.length > 0) return details[0] === "0" ? "24" : "4";
  if (!["38", "48", "58"].includes(code) || details.length === 0) return code;
  const [kind = "", ...numbers] = details;
  return [code, kind, ...(numbers.length > 3 ? numbers.slice(1, 4) : numbers)].join(";");
}

/** Returns "rgb(…)", or the number of one of the sixteen colours. */
function colour(rgb: RegExpExecArray | null, name: RegExpExecArray | null): string | undefined {
  if (rgb) return rgb[1];
  const [, bright, base = ""] = /^ansi-(bright-)?(\w+)$/.exec(name?.[1] ?? "") ?? [];
  const number = COLOURS.indexOf(base);
  return number < 0 ? undefined : String(number + (bright ? 8 : 0));
}
