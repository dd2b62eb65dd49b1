/** Colours of programs that can be read on any page: the same choices as for the final outputs (render/ansi.py). */

export type Rgb = readonly [red: number, green: number, blue: number];

const WHITE: Rgb = [255, 255, 255];
const BLACK: Rgb = [0, 0, 0];

/** The sixteen colours of a terminal, where they are a background. */
const BASE: readonly Rgb[] = [
  BLACK,
  [205, 49, 49],
  [13, 148, 80],
  [180, 140, 0],
  [36, 114, 200],
  [188, 63, 188],
  [17, 148, 175],
  [170, 170, 170],
  [118, 118, 118],
  [241, 76, 76],
  [35, 209, 139],
  [225, 200, 60],
  [59, 142, 234],
  [214, 112, 214],
  [41, 184, 219],
  WHITE,
];
const ANYWHERE = { darkest: 0.14, brightest: 0.24 }; // luminance: at least 3.6 : 1 against white, 3.8 : 1 against black
const ON_DARK = { darkest: 0.3, brightest: 1 }; // at least 7 : 1 against black
const LEAST_CONTRAST = 3;

/** Returns a colour that is "rgb(…)" or the number of one of the sixteen. */
export function rgbOf(colour: string): Rgb {
  const [red, green, blue] = colour.startsWith("rgb") ? (colour.match(/\d+/g) ?? []).map(Number) : [];
  if (red === undefined || green === undefined || blue === undefined) return BASE[Number(colour)] ?? BLACK;
  return [red, green, blue];
}

export function css(colour: Rgb): string {
  return `rgb(${colour.join(", ")})`;
}

/** Returns whether the colour has a hue. Text in grey has the page's colour. */
export function isHued(colour: Rgb): boolean {
  return Math.max(...colour) - Math.min(...colour) > 30;
}

/** Returns the colour, mixed with white or black until it is readable on any page, or on dark ones. */
export function legible(colour: Rgb, page: "any" | "dark"): Rgb {
  const { darkest, brightest } = page === "any" ? ANYWHERE : ON_DARK;
  for (let step = 0; step < 20; step += 1) {
    const bright = luminance(colour);
    if (bright >= darkest && bright <= brightest) break;
    colour = mixed(colour, bright < darkest ? WHITE : BLACK, 0.04 + 0.004 * step);
  }
  return colour;
}

/** Returns a colour of text for a background: `colour` if it can be read there, else black or white. */
export function readableOn(ground: Rgb, colour: Rgb | undefined): Rgb {
  const below = luminance(ground);
  if (colour) {
    const [darker = 0, brighter = 0] = [below, luminance(colour)].sort((a, b) => a - b);
    if ((brighter + 0.05) / (darker + 0.05) >= LEAST_CONTRAST) return colour;
  }
  return below > 0.18 ? BLACK : WHITE;
}

/** Returns the relative luminance (WCAG), 0 to 1. */
function luminance(colour: Rgb): number {
  const [red = 0, green = 0, blue = 0] = colour.map((part) =>
    part <= 10 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4,
  );
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function mixed(colour: Rgb, other: Rgb, share: number): Rgb {
  const part = (at: 0 | 1 | 2): number => Math.round(colour[at] + (other[at] - colour[at]) * share);
  return [part(0), part(1), part(2)];
}
