/** The questions that wait for the person, in open notebooks and in those that no page shows. */

import type { JupyterFrontEnd } from "@jupyterlab/application";
import type { TranslationBundle } from "@jupyterlab/translation";

import type { Arguments, Question } from "../connection/messages";
import type { AgentNotebook } from "../connection/notebook";
import type { IAgentNotebooks } from "../connection/plugin";
import type { UnopenedNotebook, UnopenedNotebooks } from "../connection/unopened";

/** A question that waits. */
export interface Waiting {
  readonly key: string;
  readonly question: Question;
  /** The name of the notebook's file, and where in it the question is. */
  readonly name: string;
  readonly where: string;
  /** Whether the person looks at the notebook: its live view has the same card. */
  readonly isSeen: boolean;
  /** Shows the cell; opens the notebook if it is not. */
  show(): void;
  decide(answer: Arguments): Promise<unknown>;
}

export class WaitingQuestions {
  constructor(
    private readonly _app: JupyterFrontEnd,
    private readonly _notebooks: IAgentNotebooks,
    private readonly _unopened: UnopenedNotebooks,
    private readonly _trans: TranslationBundle,
  ) {}

  /** All of them, those of open notebooks first. */
  get all(): Waiting[] {
    const open = this._notebooks.all.flatMap((notebook) =>
      (notebook.state?.questions ?? []).map((question) => this._inOpen(notebook, question)),
    );
    const unopened = this._unopened.all.flatMap((notebook) =>
      (notebook.state?.questions ?? []).map((question) => this._inUnopened(notebook, question)),
    );
    return [...open, ...unopened];
  }

  private _inOpen(notebook: AgentNotebook, question: Question): Waiting {
    const { name, panel } = notebook;
    const place = notebook.place(question.cell);
    return {
      key: `${panel.id} ${question.id}`,
      question,
      name,
      where: place ? this._trans.__("%1, cell %2 of %3", name, place.at, place.of) : name,
      isSeen: panel.isVisible && !isHidden(),
      show: () => {
        this._app.shell.activateById(panel.id);
        void notebook.show(question.cell);
      },
      decide: (answer) => notebook.ask("decide", answer),
    };
  }

  private _inUnopened({ name, path, connection }: UnopenedNotebook, question: Question): Waiting {
    return {
      key: `${path} ${question.id}`,
      question,
      name,
      where: this._trans.__("%1, which is not open", name),
      isSeen: false,
      show: () => void this._app.commands.execute("docmanager:open", { path }),
      decide: (answer) => connection.request("decide", answer),
    };
  }
}

/** Whether the page cannot be seen now. */
export function isHidden(): boolean {
  return document.visibilityState === "hidden";
}
