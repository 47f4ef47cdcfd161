/** Faces: a card for each face, with its number, thumbnail, emotion, bars and quality; and boxes in a picture. */

import { isUnsure } from "../src/confidence.js";
import { TOO_SMALL, whyUnsure } from "../src/quality.js";
import { make } from "./dom.js";

/** @typedef {import("../src/engine.js").Face & {id?: number}} Face */

// The color-blind-safe palette of Okabe and Ito 2008, in the order of FER2013's labels; further labels begin again.
const PALETTE = ["#D55E00", "#009E73", "#CC79A7", "#F0E442", "#999999", "#0072B2", "#56B4E9", "#E69F00"];
export const UNSURE = "#BBBBBB";
const THUMBNAIL = 96; // pixels
const ROOM = 2; // widths of a box: a longer title would hide the neighbors, so the number stands alone

/** @param {Face} face @param {string} label */
export function colorOf(face, label) {
  return PALETTE[Object.keys(face.probabilities).indexOf(label) % PALETTE.length];
}

/** Of a box or a lane: the emotion's, gray where the answer is unsure. @param {Face} face @param {number} threshold */
export function shownColor(face, threshold) {
  return isUnsure(face.confidence, threshold) ? UNSURE : colorOf(face, face.emotion);
}

/** @param {number} share */
export function percent(share) {
  return `${Math.round(100 * share)} %`;
}

/** `happy 98 %`, or `unsure (happy 41 %)` below the threshold. @param {Face} face @param {number} threshold */
export function headline(face, threshold) {
  const told = `${face.emotion} ${percent(face.confidence)}`;
  return isUnsure(face.confidence, threshold) ? `unsure (${told})` : told;
}

/** Cards of faces, one list item each. @param {Face[]} faces @param {number} threshold
 * @param {(face: Face, index: number) => Node[]} [further] what else stands in a card @returns {HTMLElement[]} */
export function cards(faces, threshold, further = () => []) {
  return faces.map((face, i) =>
    make(
      "li",
      { className: "face" },
      make("h3", {}, `${face.id ?? i + 1}. ${headline(face, threshold)}`),
      ...(isUnsure(face.confidence, threshold) ? [make("p", { className: "why" }, whyWords(face))] : []),
      make("div", { className: "body" }, ...further(face, i), bars(face)),
      ...(face.set ? [make("p", { className: "faint set" }, `set: ${face.set.join(", ")}`)] : []),
      make("p", { className: "faint quality" }, qualityWords(face.quality)),
    ),
  );
}

/** Of an unsure answer. @param {Face} face */
function whyWords({ quality, probabilities }) {
  const why = whyUnsure(quality);
  if (why === "too small") return `The face is too small to tell: below ${TOO_SMALL} pixels answers are often wrong.`;
  if (why === "turned away") return "The face is turned away: answers are wrong more often then.";
  const [best, second] = Object.entries(probabilities).toSorted(([, a], [, b]) => b - a);
  return second ? `The model is not sure: perhaps ${best[0]}, perhaps ${second[0]}.` : "The model is not sure.";
}

/** In short; what the words say is told at the foot of the page. @param {import("../src/quality.js").Quality} quality */
export function qualityWords({ size, sharpness, brightness, roll, yaw }) {
  const words = [`${Math.round(size)} pixels`, `sharpness ${sharpness.toFixed(2)}`, `brightness ${Math.round(brightness)}`];
  if (roll !== null) words.push(Math.round(roll) ? `leans ${aside(roll)}` : "upright");
  if (yaw !== null) words.push(Math.round(yaw) ? `turned ${aside(yaw)}` : "seen from the front");
  return words.join(" · ");
}

/** @param {number} degrees */
function aside(degrees) {
  return `${Math.abs(Math.round(degrees))}° to the ${degrees > 0 ? "right" : "left"}`;
}

/** @param {Face} face */
function bars(face) {
  const rows = Object.entries(face.probabilities).map(([label, share]) => {
    const bar = make("span", { className: "bar", ariaHidden: "true" });
    bar.style.width = `${100 * share}%`;
    bar.style.background = colorOf(face, label);
    return make("li", {}, make("span", {}, label), make("span", { className: "track" }, bar), make("span", {}, percent(share)));
  });
  return make("ul", { className: "bars" }, ...rows);
}

/** The face cut out of its picture. @param {CanvasImageSource} picture @param {Face} face @param {string} name */
export function thumbnail(picture, face, name) {
  const canvas = make("canvas", { width: THUMBNAIL, height: THUMBNAIL, className: "thumbnail" });
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", name);
  const [x, y, width, height] = face.box;
  const scale = THUMBNAIL / Math.max(width, height);
  const [left, top] = [(THUMBNAIL - width * scale) / 2, (THUMBNAIL - height * scale) / 2];
  canvas.getContext("2d").drawImage(picture, x, y, width, height, left, top, width * scale, height * scale);
  return canvas;
}

/** Boxes and titles. @param {CanvasRenderingContext2D} context @param {Face[]} faces @param {number} threshold
 * @param {number} [scale] pixels of the canvas for one of the picture */
export function mark(context, faces, threshold, scale = 1) {
  const { width, height } = context.canvas;
  const text = Math.max(12, Math.round(Math.max(width, height) / 45));
  context.lineWidth = Math.max(2, text / 7);
  context.font = `600 ${text}px system-ui, sans-serif`;
  context.textBaseline = "top";
  faces.forEach((face, i) => {
    const [x, y, w, h] = face.box.map((value) => value * scale);
    const whole = `${face.id ?? i + 1} ${headline(face, threshold)}`;
    const title = context.measureText(whole).width > ROOM * w ? String(face.id ?? i + 1) : whole;
    context.strokeStyle = shownColor(face, threshold);
    context.strokeRect(x, y, w, h);
    const wide = context.measureText(title).width + text / 2;
    const left = Math.max(0, Math.min(x, width - wide));
    const top = y >= text * 1.4 ? y - text * 1.4 : Math.min(y + h, height - text * 1.4);
    context.fillStyle = "rgb(20 20 20 / 0.85)";
    context.fillRect(left, top, wide, text * 1.4);
    context.fillStyle = "#fff";
    context.fillText(title, left + text / 4, top + text / 5);
  });
}
