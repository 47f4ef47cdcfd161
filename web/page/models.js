/** Models: which models and detectors lie beside this page (`models.json`), and the one that is chosen, loaded. */

import { Recognizer } from "../src/index.js";

/**
 * @typedef {{name: string, file: string, title?: string}} Entry
 * @typedef {{models: Entry[], detectors: Entry[]}} Offered the first of each is taken at first
 * @typedef {{model: string, detector: string, truth?: import("../src/card.js").Truth}} Choice
 */

/** @returns {Promise<Offered>} */
export async function offered() {
  const answer = await fetch("models.json");
  if (!answer.ok) throw new Error(`models.json cannot be read (${answer.status}): is the page complete?`);
  return answer.json();
}

/** @param {Offered} offer @param {Choice} choice */
export async function load(offer, choice) {
  const model = offer.models.find((one) => one.name === choice.model);
  const detector = offer.detectors.find((one) => one.name === choice.detector);
  if (!model || !detector) throw new Error(`no model '${choice.model}' or detector '${choice.detector}' lies here`);
  return Recognizer.load({
    model: model.file,
    detector: detector.file,
    detectorName: /** @type {any} */ (detector.name),
    truth: choice.truth,
    assets: "assets/",
  });
}
