/** What a cell is, read as the kernel reads it (agent_kernel/kernel/cells.py). Pure. */

export type Kind = "prompt" | "python" | "r" | "shell" | "line";

export const NAMES: Readonly<Record<Kind, string>> = {
  prompt: "Prompt",
  python: "Python",
  r: "R",
  shell: "Shell",
  line: "Line",
};

/** The languages of cells that are code, as JupyterLab names them; prompts keep that of the kernel. */
export const LANGUAGES: Readonly<Partial<Record<Kind, string>>> = {
  python: "text/x-python",
  r: "text/x-rsrc",
  shell: "text/x-sh",
};

const CODE: Readonly<Record<string, Kind>> = { python: "python", r: "r", bash: "shell" };

const MAGIC = /^(%{1,2})([A-Za-z_]\w*)(\?|[ \t].*)?$/;

/** A line at the top of a cell: `%name`, `%%name` or `!command`; `from` and `to` are its lines, from 0. */
export interface TopLine {
  readonly type: "magic" | "cell magic" | "command";
  readonly name: string;
  readonly from: number;
  readonly to: number;
}

/** The lines at the top of a cell, and the first line of the prompt below them; its length if there is none. */
export function read(lines: readonly string[]): { top: TopLine[]; prompt: number } {
  const top: TopLine[] = [];
  let at = 0;
  while (at < lines.length) {
    const line = (lines[at] ?? "").trim();
    const magic = MAGIC.exec(line);
    if (magic?.[1] === "%%") {
      top.push({ type: "cell magic", name: magic[2] ?? "", from: at, to: lines.length });
      at = lines.length;
    } else if (magic) {
      top.push({ type: "magic", name: magic[2] ?? "", from: at, to: at + 1 });
      at += 1;
    } else if (line.startsWith("!") && line.replace(/^!+/, "").trim()) {
      const from = at;
      while ((lines[at] ?? "").trimEnd().endsWith("\\") && at + 1 < lines.length) at += 1;
      at += 1;
      top.push({ type: "command", name: "!", from, to: at });
    } else if (line) {
      break;
    } else {
      at += 1;
    }
  }
  return { top, prompt: at };
}

export function kindOf(source: string): Kind {
  const lines = source.split("\n");
  const { top, prompt } = read(lines);
  if (prompt < lines.length || top.length === 0) return "prompt";
  const body = top.find((each) => each.type === "cell magic");
  if (body) return CODE[body.name] ?? "line";
  return top.every((each) => each.type === "command") ? "shell" : "line";
}

const PREFIX: Readonly<Record<Kind, string>> = {
  prompt: "",
  python: "%%python\n",
  r: "%%r\n",
  shell: "%%bash\n",
  line: "",
};
const NEXT: Readonly<Record<Kind, Kind>> = {
  prompt: "python",
  python: "shell",
  r: "prompt",
  shell: "prompt",
  line: "line",
};

/** The source as the next kind: prompt, Python, shell, prompt. R becomes a prompt; `%` lines stay. */
export function switched(source: string): string {
  const kind = kindOf(source);
  return PREFIX[NEXT[kind]] + (kind === "prompt" || kind === "line" ? source : body(source));
}

/** The source without what makes it a Python or shell cell. */
function body(source: string): string {
  const [first = "", ...rest] = source.trimStart().split("\n");
  return first.startsWith("%%") ? rest.join("\n") : source.trimStart().replace(/^!+\s*/, "");
}
