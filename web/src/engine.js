/**
 * Engine: pixels in, faces out, in the thread that calls it. `recognizer.js` puts it into a worker.
 *
 * @typedef {import("./pixels.js").Pixels} Pixels
 * @typedef {import("./detector.js").Detection} Detection
 * @typedef {{box: [number, number, number, number], emotion: string, confidence: number,
 *   probabilities: Record<string, number>, detectionScore: number | null, unsure: boolean, set: string[] | null,
 *   quality: import("./quality.js").Quality, whyUnsure: import("./quality.js").Why | null}} Face
 *   box: x, y, width, height in pixels of the picture; probabilities in the card's order, summing to 1; whyUnsure: null
 *   of a sure answer; set: labels that hold the truth with the card's probability, null where it promises none
 * @typedef {{model: Uint8Array, detector: Uint8Array | null, detectorName: import("./detector.js").DetectorName | "none",
 *   detectSize?: number, truth?: import("./card.js").Truth, abstain?: number, assets: string, threads?: number}} Settings
 * @typedef {{place: Detection | null, shown: Pixels, quality: import("./quality.js").Quality}} Seen
 */

import { uprightCrop } from "./align.js";
import { FER2013, headOf, readCard } from "./card.js";
import { Classifier } from "./classifier.js";
import { isUnsure, setOf } from "./confidence.js";
import { openDetector } from "./detector.js";
import { occlusion } from "./occlusion.js";
import { roundEven } from "./pixels.js";
import { qualityOf, small, whyUnsure } from "./quality.js";
import { configure } from "./session.js";

export class Engine {
  /** Of the picture before. @type {(Detection | null)[]} */
  #places = [];

  /** @param {Classifier} classifier @param {((image: Pixels) => Promise<Detection[]>) | null} look
   * @param {Settings} settings */
  constructor(classifier, look, settings) {
    this.classifier = classifier;
    this.look = look;
    const { head, truth } = headOf(classifier.card, settings.truth);
    this.head = head;
    this.labels = head.labels;
    this.truth = truth;
    this.threshold = settings.abstain ?? head.threshold ?? 0;
  }

  get card() {
    return this.classifier.card;
  }

  /** @param {Settings} settings */
  static async open(settings) {
    configure(settings.assets, settings.threads);
    const card = readCard(settings.model);
    const { detector, detectorName } = settings;
    const look =
      detector && detectorName !== "none" ? await openDetector(detectorName, detector, settings.detectSize) : null;
    return new Engine(await Classifier.open(settings.model, card), look, settings);
  }

  /** The faces of an RGB picture, from left to right. @param {Pixels} image @returns {Promise<Face[]>} */
  async recognize(image) {
    this.#places = await this.#find(image);
    return this.#answer(image);
  }

  /** The next picture of a film or camera: the faces of the one before, looked at where they were then.
   * @param {Pixels} image @returns {Promise<Face[]>} */
  async follow(image) {
    return this.#answer(image);
  }

  /** How far the emotion of the face with number `index` hangs on each part of it (`occlusion.js`).
   * @param {Pixels} image @param {number} index @param {(share: number) => void} progress */
  async explain(image, index, progress) {
    const places = await this.#find(image);
    const place = places[index];
    if (place === undefined) throw new Error(`The picture has ${places.length} faces, so none with number ${index + 1}.`);
    const crop = this.classifier.prepared(this.#cut(image, place));
    return occlusion((some) => this.classifier.classify(some, this.truth), crop, progress);
  }

  /** @param {Pixels} image */
  async #answer(image) {
    const seen = this.#places.map((place) => this.#see(image, place));
    const answers = await this.classifier.classify(seen.map(({ shown }) => shown), this.truth);
    return answers.map((answer, i) => this.#face(image, seen[i], answer));
  }

  /** @param {Pixels} image @returns {Promise<(Detection | null)[]>} null: the picture is the face */
  async #find(image) {
    return this.look ? (await this.look(image)).sort((a, b) => a.box[0] - b.box[0]) : [null];
  }

  /** The upright face. @param {Pixels} image @param {Detection | null} place */
  #cut(image, place) {
    return place ? uprightCrop(image, place.points, this.#alignment) : image;
  }

  /** A face as the network is shown it, and its quality. @param {Pixels} image @param {Detection | null} place
   * @returns {Seen} */
  #see(image, place) {
    const crop = this.#cut(image, place);
    const seen = small(crop);
    const { color, size } = this.card.preprocess;
    const shown = color === "gray" && size === seen.width ? seen : this.classifier.prepared(crop); // mostly the same
    return { place, shown, quality: qualityOf(crop, seen, place && place.points, this.#alignment) };
  }

  get #alignment() {
    return this.card.alignment ?? FER2013;
  }

  /** @param {Pixels} image @param {Seen} seen @param {number[]} answer @returns {Face} */
  #face(image, { place, quality }, answer) {
    const best = answer.indexOf(Math.max(...answer));
    const unsure = isUnsure(answer[best], this.threshold);
    return {
      box: place ? clipped(place.box, image) : [0, 0, image.width, image.height],
      emotion: this.labels[best],
      confidence: answer[best],
      probabilities: Object.fromEntries(this.labels.map((label, k) => [label, answer[k]])),
      detectionScore: place ? place.score : null,
      unsure,
      set: setOf(answer, this.head),
      quality,
      whyUnsure: unsure ? whyUnsure(quality) : null,
    };
  }
}

/** The part of a box within the picture, at least a pixel of it.
 * @param {number[]} box @param {Pixels} image @returns {[number, number, number, number]} */
function clipped([x, y, width, height], image) {
  const low = (/** @type {number} */ at, /** @type {number} */ most) => Math.min(Math.max(roundEven(at), 0), most - 1);
  const x0 = low(x, image.width);
  const y0 = low(y, image.height);
  const x1 = Math.min(Math.max(roundEven(x + width), x0 + 1), image.width);
  const y1 = Math.min(Math.max(roundEven(y + height), y0 + 1), image.height);
  return [x0, y0, x1 - x0, y1 - y0];
}
