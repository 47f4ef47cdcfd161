/**
 * Align: a face as an upright crop, cut like the faces that the model was trained on. The rules of
 * `mien.recognize.align`.
 */

import { roundEven, warped } from "./pixels.js";

const SMALLEST = 48; // side of a crop in pixels
const LARGEST = 1024;

/**
 * Upright is the mean of what the line of the eyes and the line from them to the mouth say; the size is the larger of
 * what both distances ask for. Beyond the edge of the picture its last pixels are repeated.
 *
 * @param {import("./pixels.js").Pixels} image @param {import("./detector.js").Point[]} points
 * @param {import("./card.js").Alignment} alignment
 */
export function uprightCrop(image, points, alignment) {
  const { side, angle, middle } = placed(points, alignment);
  const crop = Math.min(Math.max(roundEven(side), SMALLEST), LARGEST);
  // From a place in the crop to the one in the picture: away from the eyes' middle, turned and scaled.
  const [cos, sin] = [(Math.cos(angle) * side) / crop, (Math.sin(angle) * side) / crop];
  const from = { x: alignment.eye_x * crop, y: alignment.eye_y * crop };
  const shift = { x: middle.x - cos * from.x + sin * from.y, y: middle.y - sin * from.x - cos * from.y };
  return warped(image, crop, crop, [cos, -sin, sin, cos], shift);
}

/** Side of the crop in pixels of the picture, the angle in radians by which the head leans, clockwise, and the middle of
 * the eyes. @param {import("./detector.js").Point[]} points @param {import("./card.js").Alignment} alignment */
export function placed(points, alignment) {
  const [left, right, , mouth] = points;
  const middle = { x: (left.x + right.x) / 2, y: (left.y + right.y) / 2 };
  const across = { x: right.x - left.x, y: right.y - left.y };
  const down = { x: mouth.x - middle.x, y: mouth.y - middle.y };
  const eyes = Math.hypot(across.x, across.y) / alignment.eye_distance;
  const side = Math.max(eyes, Math.hypot(down.x, down.y) / alignment.eyes_to_mouth, 1);
  const level = direction(across.x, across.y);
  const plumb = direction(down.y, -down.x);
  return { side, angle: Math.atan2(level.y + plumb.y, level.x + plumb.x), middle };
}

/** Of length 1, so that directions can be averaged; 0 for none.
 * @param {number} x @param {number} y */
function direction(x, y) {
  const length = Math.hypot(x, y) || 1;
  return { x: x / length, y: y / length };
}
