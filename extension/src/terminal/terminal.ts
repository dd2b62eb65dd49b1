/** A tab with a terminal in the container. Its engine, xterm.js, is loaded with the first one. */

import type { TranslationBundle } from "@jupyterlab/translation";
import type { Message } from "@lumino/messaging";
import { Widget } from "@lumino/widgets";
import type { FitAddon } from "@xterm/addon-fit";
import type { ITheme, Terminal } from "@xterm/xterm";

import type { AgentNotebook } from "../connection/notebook";
import { button, element } from "../dom";
import { reasonOf } from "../files/line";
import { RemoteShell } from "./shell";

export class ContainerTerminal extends Widget {
  /** `find` returns the notebook, null while it is closed. */
  constructor(
    private readonly _find: () => AgentNotebook | null,
    private readonly _trans: TranslationBundle,
  ) {
    super();
    this.addClass("jp-agent-terminal");
    this._screen = element("div", "jp-agent-terminal-screen", this.node);
    this._note = element("div", "jp-agent-terminal-note", this.node);
    this._note.setAttribute("role", "status");
    this._note.hidden = true;
    void this._begin();
  }

  /** Says so while messages do not get through to a shell that is open. */
  look(): void {
    if (!this._shell || this.isDisposed) return;
    const reach = this._find()?.reach;
    if (reach === "connecting") {
      this._say(this._trans.__("Connecting to the kernel again. What you type is sent then."));
    } else if (reach === "lost") {
      this._say(this._trans.__("Not connected to the kernel. Reconnect in the notebook to go on."));
    } else {
      this._say("");
    }
  }

  override dispose(): void {
    if (this.isDisposed) return;
    this._shell?.close();
    this._themes?.disconnect();
    this._terminal?.dispose();
    super.dispose();
  }

  protected override onResize(message: Widget.ResizeMessage): void {
    super.onResize(message);
    this._fit?.fit();
  }

  protected override onAfterShow(message: Message): void {
    super.onAfterShow(message);
    this._fit?.fit();
  }

  protected override onActivateRequest(message: Message): void {
    super.onActivateRequest(message);
    this._terminal?.focus();
  }

  private async _begin(): Promise<void> {
    const [{ Terminal }, { FitAddon }] = await Promise.all([
      import("@xterm/xterm"),
      import("@xterm/addon-fit"),
      import("@xterm/xterm/css/xterm.css"),
    ]);
    if (this.isDisposed) return;
    const theme = themeOf(this.node);
    // A link of the program's is text: nothing is opened that it names.
    const linkHandler = { activate: () => undefined };
    const terminal = new Terminal({
      fontSize: 13,
      scrollback: 5000,
      theme,
      linkHandler,
      screenReaderMode: true,
    });
    this._terminal = terminal;
    this._themes = new MutationObserver(() => {
      terminal.options.theme = themeOf(this.node);
    });
    this._themes.observe(document.body, { attributeFilter: ["data-jp-theme-light", "data-jp-theme-name"] });
    this._fit = new FitAddon();
    terminal.loadAddon(this._fit);
    terminal.open(this._screen);
    this._fit.fit();
    terminal.onData((typed) => this._shell?.type(typed));
    terminal.onBinary((typed) => this._shell?.type(Uint8Array.from(typed, (each) => each.charCodeAt(0))));
    terminal.onResize(({ rows, cols }) => this._shell?.resize(rows, cols));
    await this._run(terminal);
  }

  /** Opens a shell and shows it until it ends. */
  private async _run(terminal: Terminal): Promise<void> {
    this._say("");
    const connection = this._find()?.connection;
    if (!connection) {
      this._ended(this._trans.__("The kernel is not connected."), terminal);
      return;
    }
    const shell = new RemoteShell(connection);
    try {
      await shell.open(terminal.rows, terminal.cols);
      this._shell = shell;
      terminal.focus();
      for (;;) {
        const shown = await shell.read();
        if (this.isDisposed) return;
        if ("code" in shown) {
          this._ended(this._trans.__("The shell has ended (exit code %1).", shown.code), terminal);
          return;
        }
        await new Promise<void>((resolve) => {
          terminal.write(shown, resolve); // a program is read no faster than this page draws
        });
      }
    } catch (error) {
      const why = reasonOf(error);
      if (!this.isDisposed) this._ended(this._trans.__("%1 The terminal has ended.", why), terminal);
    } finally {
      this._shell = null;
      shell.close();
    }
  }

  private _ended(text: string, terminal: Terminal): void {
    this._say(text);
    button(this._trans.__("New shell"), this._note, () => {
      terminal.reset();
      void this._run(terminal);
    });
    this._fit?.fit();
  }

  /** Says something below the screen; an empty text takes it away. */
  private _say(text: string): void {
    if (this._note.textContent === text) return;
    this._note.textContent = text;
    this._note.hidden = text === "";
    this._fit?.fit();
  }

  private readonly _screen: HTMLElement;
  private readonly _note: HTMLElement;
  private _terminal: Terminal | null = null;
  private _themes: MutationObserver | null = null;
  private _fit: FitAddon | null = null;
  private _shell: RemoteShell | null = null;
}

/** The colours of JupyterLab's theme. */
function themeOf(node: HTMLElement): ITheme {
  const style = getComputedStyle(node);
  const colour = (name: string) => style.getPropertyValue(name).trim();
  return {
    background: colour("--jp-layout-color0"),
    foreground: colour("--jp-ui-font-color0"),
    cursor: colour("--jp-ui-font-color1"),
    selectionBackground: colour("--jp-brand-color3"),
  };
}
