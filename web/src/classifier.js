/**
 * Classifier: one model file: face crops in, probabilities out. The rules of `mien.recognize.classifier`.
 */

import { headOf, seenTwice, widths } from "./card.js";
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
    const { head, index } = headOf(this.card, truth);
    /** @type {number[][]} */
    const answers = [];
    for (let at = 0; at < crops.length; at += BATCH) {
      const said = await this.#views(crops.slice(at, at + BATCH));
      answers.push(...said.map((heads) => tempered(heads[index], head.temperature)));
    }
    return answers;
  }

  /** What each head says of each crop: the mean over the views of it that are seen.
   * @param {Pixels[]} crops @returns {Promise<number[][][]>} */
  async #views(crops) {
    if (this.card.mirror && (this.card.mirror_below ?? null) === null) {
      const both = await this.#look([...crops, ...crops.map(mirrored)]); // known beforehand: in one call
      return crops.map((_, i) => averaged(both[i], both[crops.length + i]));
    }
    const said = await this.#look(crops);
    const twice = crops.map((_, i) => i).filter((i) => seenTwice(this.card, said[i]));
    const turned = twice.length ? await this.#look(twice.map((i) => mirrored(crops[i]))) : [];
    twice.forEach((i, k) => {
      said[i] = averaged(said[i], turned[k]);
    });
    return said;
  }

  /** What each head says of each image as it is, before any temperature.
   * @param {Pixels[]} images @returns {Promise<number[][][]>} */
  async #look(images) {
    const each = widths(this.card);
    const starts = each.map((_, h) => each.slice(0, h).reduce((a, b) => a + b, 0));
    const logits = await this.#logits(images);
    return logits.map((row) => each.map((width, h) => softmax(row.slice(starts[h], starts[h] + width))));
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

/** Of what each head says of two views. @param {number[][]} one @param {number[][]} other */
function averaged(one, other) {
  return one.map((said, h) => said.map((p, k) => (p + other[h][k]) / 2));
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
