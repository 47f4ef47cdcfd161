/**
 * Worker: an engine in a thread of its own, so that a page stays quick while faces are looked for. One request after
 * another; each has an id that its answer repeats.
 */

import { Engine } from "./engine.js";
import { fromCanvas } from "./pixels.js";

/** @type {Engine | undefined} */
let engine;
/** @type {Promise<unknown>} */
let last = Promise.resolve();
/** @type {OffscreenCanvas | undefined} */
let canvas;

self.onmessage = ({ data }) => {
  last = last.then(() => answer(data));
};

/** @param {{id: number, verb: "open" | "recognize" | "follow" | "explain", value: any}} request */
async function answer({ id, verb, value }) {
  try {
    self.postMessage({ id, result: await VERBS[verb](value, id) });
  } catch (error) {
    self.postMessage({ id, error: error instanceof Error ? error.message : String(error) });
  }
}

const VERBS = {
  /** @param {import("./engine.js").Settings} settings */
  async open(settings) {
    engine = await Engine.open(settings);
    const { card, labels, truth, threshold } = engine;
    return { card, labels, truth, threshold };
  },
  /** @param {{bitmap: ImageBitmap}} value */
  async recognize({ bitmap }) {
    return opened().recognize(pixels(bitmap));
  },
  /** @param {{bitmap: ImageBitmap}} value */
  async follow({ bitmap }) {
    return opened().follow(pixels(bitmap));
  },
  /** @param {{bitmap: ImageBitmap, index: number}} value @param {number} id */
  async explain({ bitmap, index }, id) {
    return opened().explain(pixels(bitmap), index, (progress) => self.postMessage({ id, progress }));
  },
};

function opened() {
  if (!engine) throw new Error("No model is opened yet.");
  return engine;
}

/** Of a picture, laid on white where it is transparent. @param {ImageBitmap} bitmap */
function pixels(bitmap) {
  const { width, height } = bitmap;
  if (!canvas || canvas.width !== width || canvas.height !== height) canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (!context) throw new Error(`A picture of ${width} × ${height} pixels is too large for this browser.`);
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return fromCanvas(context.getImageData(0, 0, width, height));
}
