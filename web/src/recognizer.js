/**
 * Recognizer: pictures in, the emotion of every face in them out, on the visitor's own machine.
 *
 * @typedef {import("./engine.js").Face} Face
 * @typedef {ImageBitmap | HTMLVideoElement | HTMLCanvasElement | HTMLImageElement | OffscreenCanvas | ImageData | Blob}
 *   Picture anything that `createImageBitmap` takes
 * @typedef {object} Options
 * @property {string | Uint8Array} model address or content of an ONNX file that `mien export` wrote
 * @property {string | Uint8Array | null} [detector] of the detector's file; null: each picture is a face, already cut
 * @property {"fast" | "default"} [detectorName] which of the two it is: BlazeFace (fast, as is taken) or CenterFace
 * @property {number} [detectSize] long side in pixels at which `default` looks; 640
 * @property {import("./card.js").Truth} [truth] the head that answers; the card's own choice without it
 * @property {number} [abstain] confidence (0–1) below which a face is unsure; the card's own without it
 * @property {string} assets address of the folder that holds the runtime's files and `worker.js`
 * @property {number} [threads] of WebAssembly; where the page is cross-origin isolated up to 4, else 1
 */

/** @typedef {{resolve: (value: any) => void, reject: (error: Error) => void, progress?: (share: number) => void}} Waiting */

export class Recognizer {
  /** @type {Map<number, Waiting>} */
  #waiting = new Map();
  #requests = 0;
  #worker;

  /** Use `Recognizer.load`. @param {Worker} worker */
  constructor(worker) {
    this.#worker = worker;
    /** @type {import("./card.js").Card | undefined} */
    this.card = undefined;
    /** The order of the probabilities. @type {string[]} */
    this.labels = [];
    /** @type {import("./card.js").Truth} */
    this.truth = "labels";
    this.threshold = 0;
    worker.onmessage = ({ data }) => this.#answered(data);
    worker.onerror = (event) => this.#failed(new Error(event.message || "The worker could not be started."));
  }

  /** Load a model and a detector. Rejects where a file is missing, damaged or of another kind.
   * @param {Options} options @returns {Promise<Recognizer>} */
  static async load({ model, detector = null, detectorName = "fast", assets, ...rest }) {
    checkBrowser();
    const folder = new URL(assets, document.baseURI).href;
    const recognizer = new Recognizer(new Worker(`${folder}worker.js`, { type: "module" })); // starts while files load
    try {
      const [modelContent, detectorContent] = await Promise.all([content(model), detector ? content(detector) : null]);
      const name = detector ? detectorName : "none";
      const settings = { ...rest, model: modelContent, detector: detectorContent, detectorName: name, assets: folder };
      Object.assign(recognizer, await recognizer.#ask("open", settings));
    } catch (error) {
      recognizer.close();
      throw error;
    }
    return recognizer;
  }

  /** The faces of a picture, from left to right. @param {Picture} picture @returns {Promise<Face[]>} */
  recognize(picture) {
    return this.#look("recognize", picture);
  }

  /** The next picture of a film or camera: the faces of the one before, looked at where they were then. Finding faces
   * takes most of the time, so a live picture gains by `recognize` for every third frame and this in between.
   * @param {Picture} picture @returns {Promise<Face[]>} */
  follow(picture) {
    return this.#look("follow", picture);
  }

  /** Which parts of the face with number `index` (from 0) its emotion hangs on: the mean drop of its probability where
   * a part is covered, for each pixel of the face as the model sees it.
   * @param {Picture} picture @param {number} index @param {(share: number) => void} [progress]
   * @returns {ReturnType<import("./engine.js").Engine["explain"]>} */
  explain(picture, index, progress) {
    return this.#look("explain", picture, { index }, progress);
  }

  /** Free its memory. What still waits is rejected. */
  close() {
    this.#worker.terminate();
    this.#failed(new Error("The recognizer was closed."));
  }

  /** @param {string} verb @param {Picture} picture @param {{index?: number}} [more] @param {(share: number) => void} [progress] */
  async #look(verb, picture, more = {}, progress) {
    const bitmap = await createImageBitmap(picture);
    return this.#ask(verb, { bitmap, ...more }, [bitmap], progress);
  }

  /** @param {string} verb @param {unknown} value @param {Transferable[]} [moved] @param {(share: number) => void} [progress] */
  #ask(verb, value, moved = [], progress) {
    const id = (this.#requests += 1);
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject, progress });
      this.#worker.postMessage({ id, verb, value }, moved);
    });
  }

  /** @param {{id: number, result?: unknown, error?: string, progress?: number}} answer */
  #answered({ id, result, error, progress }) {
    const waiting = this.#waiting.get(id);
    if (!waiting) return;
    if (progress !== undefined) {
      waiting.progress?.(progress);
      return;
    }
    this.#waiting.delete(id);
    if (error === undefined) waiting.resolve(result);
    else waiting.reject(new Error(error));
  }

  /** @param {Error} error */
  #failed(error) {
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}

/** @param {string | Uint8Array} file @returns {Promise<Uint8Array>} */
async function content(file) {
  if (typeof file !== "string") return file;
  const answer = await fetch(file);
  if (!answer.ok) throw new Error(`${file}: ${answer.status} ${answer.statusText}`);
  return new Uint8Array(await answer.arrayBuffer());
}

// The smallest module that needs SIMD: i32.const 0, i8x16.splat, drop.
const SIMD = [0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 3, 2, 1, 0, 10, 9, 1, 7, 0, 65, 0, 253, 15, 26, 11];

/** Throws, in words for a visitor, where this browser lacks what is needed. */
export function checkBrowser() {
  const needs = "Take a newer one: Chrome or Edge 110, Firefox 115, Safari 16.4, or later.";
  if (typeof WebAssembly !== "object" || !WebAssembly.validate(new Uint8Array(SIMD))) {
    throw new Error(`This browser has no WebAssembly with SIMD, which the networks are computed with. ${needs}`);
  }
  if (typeof Worker === "undefined" || typeof OffscreenCanvas === "undefined") {
    throw new Error(`This browser has no workers that can draw (OffscreenCanvas). ${needs}`);
  }
}
