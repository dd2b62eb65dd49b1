/** The page of the desktop in a tab of its own: the same view as in a notebook, over a socket. */

import { element } from "../dom";
import { type DesktopLink, DesktopView, takeScreen } from "./desktop";
import type { Message } from "./messages";
import { Screen } from "./screen";
import { setText } from "./text";

const ENDED = "The connection has ended. For a new one, run %screen open in the notebook.";
const NEWLINE = 10;

function main(): void {
  const token = location.hash.slice(1);
  history.replaceState(null, "", "/"); // it is of no use any more
  document.body.replaceChildren();
  const root = element("main", "agent-live agent-live-tab", document.body);
  const ended = element("p", "agent-live-bad", root);
  ended.setAttribute("role", "alert");
  ended.hidden = true;
  const socket = new WebSocket(`ws://${location.host}/socket`);
  socket.binaryType = "arraybuffer";
  const send = (content: object) => {
    if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(content));
  };
  const screen = new Screen((frame) => send({ type: "seen", frame }));
  const waiting = new Map<string, (why: string | null) => void>();
  const view = new DesktopView(screen, linkOver(send, waiting), root);
  screen.listeners.add(() => view.draw());
  socket.addEventListener("open", () => send({ token }));
  socket.addEventListener("message", ({ data }: MessageEvent<ArrayBuffer>) => {
    const [message, png] = parted(data);
    if ("answered" in message) waiting.get(message.answered)?.(message.why);
    else takeScreen(screen, message, png ? [png] : []);
  });
  socket.addEventListener("close", ({ reason }) => {
    screen.takeState(undefined);
    ended.hidden = false;
    setText(ended, reason || ENDED);
  });
  view.draw();
}

function linkOver(
  send: (content: object) => void,
  waiting: Map<string, (why: string | null) => void>,
): DesktopLink {
  let asked = 0;
  return {
    act: (action) => {
      asked += 1;
      const id = String(asked);
      const answer = new Promise<string | null>((resolve) => waiting.set(id, resolve));
      send({ ...action, id });
      return answer.finally(() => waiting.delete(id));
    },
    hands: (events) => send({ type: "hands", events }),
    look: () => undefined, // all of it comes when the socket opens
  };
}

/** A line of JSON, and what follows it. */
function parted(data: ArrayBuffer): [Message, Uint8Array<ArrayBuffer> | null] {
  const bytes = new Uint8Array(data);
  const at = bytes.indexOf(NEWLINE);
  const line = new TextDecoder().decode(at < 0 ? bytes : bytes.subarray(0, at));
  return [JSON.parse(line) as Message, at < 0 ? null : bytes.subarray(at + 1)];
}

main();
