/**
 * Quality: what a face offers to be read: how many pixels, how sharp, how bright, how far turned. The rules and numbers
 * of `mien.recognize.quality`, where they are explained.
 *
 * @typedef {"too small" | "turned away" | "not sure"} Why
 * @typedef {object} Quality
 * @property {number} size side, in pixels of the picture, of the square that the model sees: 2.7 eye distances
 * @property {number} sharpness of edges to all contrast, seen at 48 pixels; more is sharper, and noise counts as edges
 * @property {number} brightness mean gray, 0–255
 * @property {number | null} roll degrees by which the head leans, clockwise in the picture; null: the picture is the face
 * @property {number | null} yaw degrees by which it is turned aside, positive to the right in the picture; null as above
 */

import { placed } from "./align.js";
import { resize, roundEven, toGray } from "./pixels.js";

export const TOO_SMALL = 20; // pixels
const LEANING = 40; // degrees
const TURNED = 15;
const SIDE = 48; // pixels at which sharpness and brightness are told
const NOSE = 0.5; // how far the tip of the nose stands before the line of the eyes, in eye distances
const DEGREES = 180 / Math.PI;

/** What makes an unsure answer likely here: the first of what holds. @param {Quality} quality @returns {Why} */
export function whyUnsure({ size, roll, yaw }) {
  if (size < TOO_SMALL) return "too small";
  return Math.abs(roll ?? 0) >= LEANING || Math.abs(yaw ?? 0) >= TURNED ? "turned away" : "not sure";
}

/** A crop, gray or RGB, as sharpness and brightness are told from. @param {import("./pixels.js").Pixels} crop */
export function small(crop) {
  return resize(toGray(crop), SIDE, SIDE);
}

/** Of an upright crop that is `seen` so, and where it was found: null where the picture is the face.
 * @param {{width: number, height: number}} crop @param {import("./pixels.js").Pixels} seen
 * @param {import("./detector.js").Point[] | null} points @param {import("./card.js").Alignment} alignment
 * @returns {Quality} */
export function qualityOf(crop, seen, points, alignment) {
  const light = sharpnessAndBrightness(seen);
  if (!points) return { size: rounded(Math.sqrt(crop.width * crop.height), 1), ...light, roll: null, yaw: null };
  const { side, angle } = placed(points, alignment);
  return { size: rounded(side, 1), ...light, roll: rounded(angle * DEGREES, 1), yaw: rounded(yawOf(points), 1) };
}

/** Standard deviation of the Laplacian over that of the gray levels, 0 where there is no contrast; mean gray.
 * @param {import("./pixels.js").Pixels} seen */
function sharpnessAndBrightness({ data }) {
  const levels = moments(data);
  const edges = moments(laplacian(data)).deviation;
  const sharpness = levels.deviation >= 1 ? rounded(edges / levels.deviation, 3) : 0;
  return { sharpness, brightness: rounded(levels.mean, 1) };
}

/** The sum of the four neighbors less four times the pixel; beyond the edge lies what lies as far within it.
 * @param {Uint8Array} data SIDE × SIDE */
function laplacian(data) {
  const made = new Float64Array(data.length);
  const mirror = (/** @type {number} */ at) => (at < 0 ? 1 : at === SIDE ? SIDE - 2 : at);
  for (let y = 0; y < SIDE; y += 1) {
    const [above, below] = [mirror(y - 1) * SIDE, mirror(y + 1) * SIDE];
    for (let x = 0; x < SIDE; x += 1) {
      const row = y * SIDE;
      const around = data[above + x] + data[below + x] + data[row + mirror(x - 1)] + data[row + mirror(x + 1)];
      made[row + x] = around - 4 * data[row + x];
    }
  }
  return made;
}

/** @param {ArrayLike<number>} values whole numbers, so that their sums are exact */
function moments(values) {
  let [sum, squares] = [0, 0];
  for (let i = 0; i < values.length; i += 1) {
    sum += values[i];
    squares += values[i] * values[i];
  }
  const mean = sum / values.length;
  return { mean, deviation: Math.sqrt(Math.max(0, squares / values.length - mean * mean)) };
}

/** Degrees, positive to the right of the picture: how far the tip of the nose stands beside the middle of the eyes.
 * @param {import("./detector.js").Point[]} points */
function yawOf([left, right, nose]) {
  const across = { x: right.x - left.x, y: right.y - left.y };
  const squared = across.x ** 2 + across.y ** 2;
  if (Math.sqrt(squared) < 1e-6) return 0;
  const beside = { x: nose.x - (left.x + right.x) / 2, y: nose.y - (left.y + right.y) / 2 };
  return Math.atan((beside.x * across.x + beside.y * across.y) / squared / NOSE) * DEGREES;
}

/** As Python rounds: halves go to the even neighbor. @param {number} value @param {number} digits */
function rounded(value, digits) {
  const scale = 10 ** digits;
  return roundEven(value * scale) / scale;
}
