/**
 * Detector: the faces of a picture, each with a box, a score and four points. The networks and rules of
 * `mien.recognize.detector`: CenterFace ("default", finds small faces too) and BlazeFace ("fast").
 *
 * @typedef {import("./pixels.js").Pixels} Pixels
 * @typedef {{x: number, y: number}} Point in pixels of the picture
 * @typedef {{box: [number, number, number, number], score: number, points: Point[]}} Detection box: x, y, width, height;
 *   points: the eye that is left in the picture, the eye that is right in it, nose tip, middle of the mouth
 * @typedef {"default" | "fast"} DetectorName
 */

import { blank, halved, planes, roundEven, shrunk, stretched } from "./pixels.js";
import { open } from "./session.js";

const SCORES = { default: 0.35, fast: 0.65 }; // below it nothing counts as a face
const OVERLAP = 0.3; // intersection over union above which two boxes are one face
const ENLARGED_TO = 192; // long side of smaller pictures
const STRIDE = 4; // pixels of the input for a cell of CenterFace's output
const SIDE = 256; // of BlazeFace's input
const POINTS = 4;

/** @param {DetectorName} name @param {Uint8Array} model @param {number} [size] long side at which `default` looks
 * @returns {Promise<(image: Pixels) => Promise<Detection[]>>} best score first */
export async function openDetector(name, model, size = 640) {
  const network = await open(model);
  return async (image) => {
    if (image.width === 0 || image.height === 0) return [];
    const found = name === "default" ? await centerFace(network, image, size) : await blazeFace(network, image);
    return distinct(found);
  };
}

/** Peaks of a heat map; size, offset and landmarks stand beside each, (y, x) in this network's output.
 * @param {import("./session.js").Network} network @param {Pixels} image @param {number} size */
async function centerFace(network, image, size) {
  const side = Math.min(size, Math.max(image.width, image.height, ENLARGED_TO));
  const { shown, scale } = fitted(image, side, (length) => Math.ceil(length / 32) * 32);
  const input = new Float32Array(3 * shown.width * shown.height);
  planes(shown, input, 0, [1, 1, 1], [0, 0, 0]);
  const [heat, sizes, offsets, marks] = await network(input, [1, 3, shown.height, shown.width]);
  const columns = shown.width / STRIDE;
  const cells = columns * (shown.height / STRIDE);
  /** @type {Detection[]} */
  const found = [];
  for (let cell = 0; cell < cells; cell += 1) {
    if (heat[cell] < SCORES.default) continue;
    const height = Math.exp(sizes[cell]) * STRIDE;
    const width = Math.exp(sizes[cells + cell]) * STRIDE;
    const y = (Math.floor(cell / columns) + offsets[cell] + 0.5) * STRIDE - height / 2;
    const x = ((cell % columns) + offsets[cells + cell] + 0.5) * STRIDE - width / 2;
    const points = [0, 1, 2, 3, 4].map((k) => ({
      x: (x + marks[(2 * k + 1) * cells + cell] * width) / scale,
      y: (y + marks[2 * k * cells + cell] * height) / scale,
    }));
    const mouth = { x: (points[3].x + points[4].x) / 2, y: (points[3].y + points[4].y) / 2 };
    found.push({
      box: [x / scale, y / scale, width / scale, height / scale],
      score: heat[cell],
      points: [...points.slice(0, 3), mouth],
    });
  }
  return found;
}

/** Boxes and six key points relative to fixed places (anchors); the ears, the last two, are not used.
 * @param {import("./session.js").Network} network @param {Pixels} image */
async function blazeFace(network, image) {
  const { shown, scale } = fitted(image, SIDE, () => SIDE);
  const input = new Float32Array(3 * SIDE * SIDE);
  planes(shown, input, 0, [1 / 127.5, 1 / 127.5, 1 / 127.5], [-1, -1, -1]);
  const [boxes, logits] = await network(input, [1, 3, SIDE, SIDE]);
  const values = boxes.length / ANCHORS.length;
  /** @type {Detection[]} */
  const found = [];
  ANCHORS.forEach((anchor, i) => {
    const score = 1 / (1 + Math.exp(-logits[i]));
    if (score < SCORES.fast) return;
    const at = i * values;
    const place = (/** @type {number} */ k) => ({
      x: (boxes[at + k] + anchor.x * SIDE) / scale,
      y: (boxes[at + k + 1] + anchor.y * SIDE) / scale,
    });
    const middle = place(0);
    const width = boxes[at + 2] / scale;
    const height = boxes[at + 3] / scale;
    found.push({
      box: [middle.x - width / 2, middle.y - height / 2, width, height],
      score,
      points: Array.from({ length: POINTS }, (_, k) => place(4 + 2 * k)),
    });
  });
  return found;
}

/** Middles of the places that BlazeFace looks at, as shares of the picture: 16×16×2 and 8×8×6. */
const ANCHORS = [
  [16, 2],
  [8, 6],
].flatMap(([cells, repeats]) =>
  Array.from({ length: cells * cells * repeats }, (_, i) => {
    const cell = Math.floor(i / repeats);
    return { x: ((cell % cells) + 0.5) / cells, y: (Math.floor(cell / cells) + 0.5) / cells };
  }),
);

/** The picture at long side `side`, black added on the right and below up to `full`, and the scale that it went through.
 * @param {Pixels} image @param {number} side @param {(length: number) => number} full */
function fitted(image, side, full) {
  let small = image;
  let scale = 1;
  while (Math.max(small.width, small.height) >= 2 * side && Math.min(small.width, small.height) >= 2) {
    small = halved(small);
    scale /= 2;
  }
  const rest = side / Math.max(small.width, small.height);
  const width = Math.max(1, roundEven(small.width * rest));
  const height = Math.max(1, roundEven(small.height * rest));
  if (rest < 1) small = shrunk(small, width, height);
  else if (rest > 1) small = stretched(small, width, height);
  const shown = blank(full(width), full(height), 3);
  for (let y = 0; y < height; y += 1) {
    shown.data.set(small.data.subarray(y * width * 3, (y + 1) * width * 3), y * shown.width * 3);
  }
  return { shown, scale: rest * scale };
}

/** Without those that overlap a better one (non-maximum suppression), best first.
 * @param {Detection[]} found */
function distinct(found) {
  /** @type {Detection[]} */
  const kept = [];
  for (const one of found.toSorted((a, b) => b.score - a.score)) {
    if (kept.every((other) => overlap(one.box, other.box) <= OVERLAP)) kept.push(one);
  }
  return kept;
}

/** @param {number[]} one @param {number[]} other */
function overlap([x, y, width, height], [otherX, otherY, otherWidth, otherHeight]) {
  const across = Math.min(x + width, otherX + otherWidth) - Math.max(x, otherX);
  const down = Math.min(y + height, otherY + otherHeight) - Math.max(y, otherY);
  const both = Math.max(across, 0) * Math.max(down, 0);
  return both / (width * height + otherWidth * otherHeight - both);
}
