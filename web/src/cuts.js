/**
 * Cuts: whether a look at a film shows another shot than the look before, by small gray pictures of the two. The rules
 * and numbers of `mien.recognize.cuts`, where they are explained.
 */

const WIDTH = 32; // of a small picture, whatever the shape of the film
const HEIGHT = 24;
const OVERSIZE = 4; // a browser shrinks to so many times that, and means are taken from there
const WHOLE_SAME = 0.5; // correlation from which two looks are the same
const PART_SAME = 0.7; // and a part of them
const WHOLE_SHIFTS = { across: 4, down: 3 }; // small pixels
const PART_SHIFTS = { across: 3, down: 2 };
const PARTS = 4; // in a row, and as many rows
const FAINT = 9; // squared gray levels: what differs by less within a part is noise
const FLAT = 4; // standard deviation, of 255, below which a picture says nothing

/** @typedef {ArrayLike<number>} Gray rows from the top, WIDTH × HEIGHT, 0–255 */

export class Cuts {
  /** @type {Gray | null} */
  #before = null;
  /** @type {OffscreenCanvas | null} */
  #canvas = null;

  /** Whether a picture of the film begins another shot. @param {CanvasImageSource} picture */
  next(picture) {
    this.#canvas ??= new OffscreenCanvas(WIDTH * OVERSIZE, HEIGHT * OVERSIZE);
    const context = this.#canvas.getContext("2d", { willReadFrequently: true });
    if (!context) return false;
    context.imageSmoothingQuality = "high";
    context.drawImage(picture, 0, 0, this.#canvas.width, this.#canvas.height);
    return this.nextGray(shrunk(context.getImageData(0, 0, this.#canvas.width, this.#canvas.height).data));
  }

  /** The same of a small gray picture. An empty one, as between two shots, is passed over. @param {Gray} now */
  nextGray(now) {
    if (deviation(now) < FLAT) return false;
    const before = this.#before;
    this.#before = now;
    return before !== null && ofWhole(before, now) < WHOLE_SAME && median(ofParts(before, now)) < PART_SAME;
  }
}

/** Means of squares of OVERSIZE pixels, in BT.601's gray. @param {Uint8ClampedArray} rgba */
function shrunk(rgba) {
  const gray = new Float64Array(WIDTH * HEIGHT);
  for (let y = 0; y < HEIGHT * OVERSIZE; y += 1) {
    for (let x = 0; x < WIDTH * OVERSIZE; x += 1) {
      const from = 4 * (y * WIDTH * OVERSIZE + x);
      const value = 0.299 * rgba[from] + 0.587 * rgba[from + 1] + 0.114 * rgba[from + 2];
      gray[Math.floor(y / OVERSIZE) * WIDTH + Math.floor(x / OVERSIZE)] += value / OVERSIZE ** 2;
    }
  }
  return gray;
}

/** @param {Gray} gray */
function deviation(gray) {
  let sum = 0;
  let squares = 0;
  for (let i = 0; i < gray.length; i += 1) {
    sum += gray[i];
    squares += gray[i] ** 2;
  }
  return Math.sqrt(Math.max(0, squares / gray.length - (sum / gray.length) ** 2));
}

/** The largest correlation of what two small pictures share, over all shifts. @param {Gray} before @param {Gray} now */
function ofWhole(before, now) {
  const { across, down } = WHOLE_SHIFTS;
  let best = -1;
  for (let y = -down; y <= down; y += 1) {
    for (let x = -across; x <= across; x += 1) {
      const size = { width: WIDTH - Math.abs(x), height: HEIGHT - Math.abs(y) };
      const from = { x: Math.max(x, 0), y: Math.max(y, 0) };
      best = Math.max(best, correlation(cut(before, from, size), cut(now, { x: from.x - x, y: from.y - y }, size), 0));
    }
  }
  return best;
}

/** Of each part of `before`, the largest correlation with what lies there, or near there, in `now`.
 * @param {Gray} before @param {Gray} now */
function ofParts(before, now) {
  const { across, down } = PART_SHIFTS;
  const size = { width: WIDTH / PARTS, height: HEIGHT / PARTS };
  const found = [];
  for (let part = 0; part < PARTS * PARTS; part += 1) {
    const at = { x: (part % PARTS) * size.width, y: Math.floor(part / PARTS) * size.height };
    const one = cut(before, at, size);
    let best = -1;
    for (let y = -down; y <= down; y += 1) {
      for (let x = -across; x <= across; x += 1) {
        best = Math.max(best, correlation(one, cut(now, { x: at.x + x, y: at.y + y }, size), FAINT));
      }
    }
    found.push(best);
  }
  return found;
}

/** A part of a small picture; beyond its edge the last pixels are repeated.
 * @param {Gray} gray @param {{x: number, y: number}} from @param {{width: number, height: number}} size */
function cut(gray, from, size) {
  const part = [];
  for (let y = from.y; y < from.y + size.height; y += 1) {
    const row = Math.min(Math.max(y, 0), HEIGHT - 1) * WIDTH;
    for (let x = from.x; x < from.x + size.width; x += 1) part.push(gray[row + Math.min(Math.max(x, 0), WIDTH - 1)]);
  }
  return part;
}

/** @param {number[]} one @param {number[]} other @param {number} more what is added to the squares of each */
function correlation(one, other, more) {
  const [a, b] = [one, other].map((values) => values.reduce((sum, value) => sum + value, 0) / values.length);
  let [both, ofOne, ofOther] = [0, more, more];
  for (let i = 0; i < one.length; i += 1) {
    both += (one[i] - a) * (other[i] - b);
    ofOne += (one[i] - a) ** 2;
    ofOther += (other[i] - b) ** 2;
  }
  const size = Math.sqrt(ofOne * ofOther);
  return size ? both / size : 0;
}

/** @param {number[]} numbers */
function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
