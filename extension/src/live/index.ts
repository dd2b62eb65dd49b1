/**
 * The live view of a running turn, an anywidget. It is a bundle of its own, which the kernel brings along: it
 * works in every front end that shows widgets, without the extension.
 */

import { takeScreen } from "./desktop";
import type { Message, Model } from "./messages";
import { Store } from "./store";
import { View } from "./view";

// What the tests look at.
export { Markdown } from "./markdown";
export { pythonTokens } from "./python";
export { shellTokens } from "./shell";
export { Terminal } from "./terminal";

interface Shown {
  readonly model: Model;
}

/** A function, so that each widget has one store for all its views. */
export default () => {
  const store = new Store();
  return {
    /** Here and not in `render`: texts may arrive before the first view. */
    initialize({ model }: Shown) {
      const onState = () => store.takeState(model.get("state"));
      store.seen = (frame) => model.send({ type: "seen", frame });
      const onMessage = (message: Message, buffers: readonly DataView<ArrayBuffer>[]) => {
        if (!takeScreen(store.screen, message, buffers)) store.takeMessage(message);
      };
      model.on("change:state", onState);
      model.on("msg:custom", onMessage);
      onState();
      return () => {
        model.off("change:state", onState);
        model.off("msg:custom", onMessage);
      };
    },

    render({ model, el }: Shown & { readonly el: HTMLElement }) {
      const view = new View(store, model, el);
      let frame = 0;
      const draw = () => {
        frame = 0;
        view.draw();
      };
      const schedule = () => {
        frame ||= requestAnimationFrame(draw);
      };
      store.listeners.add(schedule);
      store.screen.listeners.add(schedule);
      const clock = setInterval(schedule, 1000);
      draw();
      return () => {
        store.listeners.delete(schedule);
        store.screen.listeners.delete(schedule);
        clearInterval(clock);
        cancelAnimationFrame(frame);
      };
    },
  };
};
