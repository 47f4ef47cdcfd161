/**
 * Classifier: one model file: face crops in, probabilities out. The rules of `mien.recognize.classifier`.
 */

import { headOf, widths } from "./card.js";
import { mirrored, planes, resize, toGray } from "./pixels.js";
import { open } from "./session.js";

/** @typedef {import("./pixels.js").Pixels} Pixels */

const BATCH = 32;

export class Classifier {
  /** @param {import("./session.js").Network} network @param {import("./card.js").Card} card */
  constructor(network, card) {
    this.network = network;
    this.card = card;
  }

  /** @param {Uint8Array} model @param {import("./card.js").Card} card */
  static async open(model, card) {
    return new Classifier(await open(model), card);
  }

  /** A crop as the network sees it: gray or RGB, at its size. @param {Pixels} crop @returns {Pixels} */
  prepared(crop) {
    const { size, color } = this.card.preprocess;
    return resize(color === "gray" ? toGray(crop) : crop, size, size);
  }

  /** Of prepared crops, the probabilities of a head at its temperature.
   * @param {Pixels[]} crops @param {import("./card.js").Truth} truth @returns {Promise<number[][]>} */
  async classify(crops, truth) {
    const { head, start } = headOf(this.card, truth);
    /** @type {number[][]} */
    const answers = [];
    for (let at = 0; at < crops.length; at += BATCH) {
      const some = crops.slice(at, at + BATCH);
      const seen = this.card.mirror ? [...some, ...some.map(mirrored)] : some;
      const logits = await this.#logits(seen);
      const said = logits.map((row) => softmax(row.slice(start, start + head.labels.length)));
      for (let i = 0; i < some.length; i += 1) {
        const own = said[i];
        const both = this.card.mirror ? own.map((p, k) => (p + said[some.length + i][k]) / 2) : own;
        answers.push(tempered(both, head.temperature));
      }
    }
    return answers;
  }

  /** @param {Pixels[]} images @returns {Promise<number[][]>} */
  async #logits(images) {
    const { size, color, mean, std } = this.card.preprocess;
    const channels = color === "gray" ? 1 : 3;
    const each = channels * size * size;
    const input = new Float32Array(images.length * each);
    const scale = std.map((deviation) => 1 / (255 * deviation));
    const offset = std.map((deviation, c) => -mean[c] / deviation);
    images.forEach((image, i) => planes(image, input, i * each, scale, offset));
    const [values] = await this.network(input, [images.length, channels, size, size]);
    if (!values.every(Number.isFinite)) {
      throw new Error("The model answers with values that are no numbers: its file is damaged. Export it again.");
    }
    const outputs = widths(this.card).reduce((a, b) => a + b);
    return images.map((_, i) => Array.from(values.subarray(i * outputs, (i + 1) * outputs)));
  }
}

/** @param {number[]} logits */
function softmax(logits) {
  const most = Math.max(...logits);
  const powers = logits.map((value) => Math.exp(value - most));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((power) => power / sum);
}

/** The softmax of the probabilities' logarithms divided by the temperature.
 * @param {number[]} probabilities @param {number} temperature */
function tempered(probabilities, temperature) {
  return softmax(probabilities.map((p) => Math.log(Math.max(p, Number.MIN_VALUE)) / temperature));
}
