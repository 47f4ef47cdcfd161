/**
 * mien-web: faces and their emotions in the browser, on the visitor's own machine.
 *
 * @typedef {import("./engine.js").Face} Face
 * @typedef {import("./quality.js").Quality} Quality
 * @typedef {import("./quality.js").Why} Why
 * @typedef {import("./recognizer.js").Options} Options
 * @typedef {import("./recognizer.js").Picture} Picture
 */

export { Cuts } from "./cuts.js";
export { whyUnsure } from "./quality.js";
export { checkBrowser, Recognizer } from "./recognizer.js";
export { Tracker } from "./track.js";
