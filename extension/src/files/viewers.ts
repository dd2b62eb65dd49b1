/**
 * Which of JupyterLab's viewers shows a file of the container, and under which name.
 *
 * Such a file is hostile. JupyterLab chooses viewers by a file's name, and some run what the file says: HTML that
 * is trusted, a notebook, a chart with data from elsewhere. So only names on this list open as they are. Any other
 * file opens under a name that makes it a text, or a Markdown text that we render; the drive gives no content
 * under other names. Pure.
 */

const MEBI = 2 ** 20;
const TEXT = " (text).txt";
export const PREVIEW_EXTENSION = ".container-markdown";
const PREVIEW = ` (preview)${PREVIEW_EXTENSION}`;
export const PREVIEW_FACTORY = "Container Markdown";

/** A factory of JupyterLab's, and the largest file in bytes that it shows. */
interface Viewer {
  readonly factory: string;
  readonly most: number;
}

const EDITOR: Viewer = { factory: "Editor", most: 8 * MEBI };
const IMAGE: Viewer = { factory: "Image", most: 32 * MEBI };
const VIEWERS = new Map<string, Viewer>([
  [".csv", { factory: "CSVTable", most: 32 * MEBI }],
  [".tsv", { factory: "TSVTable", most: 32 * MEBI }],
  [PREVIEW_EXTENSION, { factory: PREVIEW_FACTORY, most: 4 * MEBI }],
  ...".png .jpg .jpeg .gif .webp .bmp .svg".split(" ").map((each) => [each, IMAGE] as const),
  ...".txt .log .py .r .sql .sh .yaml .yml .toml .ini .cfg .c .h .cpp .java .go .rs .rb .jl .tex .css .diff"
    .split(" ")
    .map((each) => [each, EDITOR] as const),
]);

/** The media types of pictures, without `image/`, where they are not the ending. */
const SUBTYPES = new Map([
  [".jpg", "jpeg"],
  [".svg", "svg+xml"],
]);

function extension(name: string): string {
  return (/\.[^./]+$/.exec(name)?.[0] ?? "").toLowerCase();
}

/** Where to open a file: its path in the drive, and the viewer. `asText` asks for the text of any file. */
export function viewerOf(path: string, asText = false): { path: string; viewer: Viewer } {
  const ending = extension(path);
  const plain = !path.endsWith(TEXT) && ending !== PREVIEW_EXTENSION;
  if (!asText && plain) {
    if (ending === ".md") return { path: path + PREVIEW, viewer: viewerFor(path + PREVIEW) };
    const viewer = VIEWERS.get(ending);
    if (viewer) return { path, viewer };
  }
  return { path: asText && plain && isText(ending) ? path : path + TEXT, viewer: EDITOR };
}

function viewerFor(path: string): Viewer {
  return VIEWERS.get(extension(path)) ?? EDITOR;
}

function isText(ending: string): boolean {
  return VIEWERS.get(ending) === EDITOR;
}

/**
 * The file that a path in the drive means, its largest size, and the kind of a picture; null if it is opened
 * under no such path.
 */
export function opened(path: string): { file: string; most: number; picture: string | null } | null {
  const ending = extension(path);
  const viewer = VIEWERS.get(ending);
  if (!viewer) return null;
  const suffix = [TEXT, PREVIEW].find((each) => path.endsWith(each)) ?? "";
  const file = path.slice(0, path.length - suffix.length);
  return {
    file,
    most: viewer.most,
    picture: viewer === IMAGE ? (SUBTYPES.get(ending) ?? ending.slice(1)) : null,
  };
}
