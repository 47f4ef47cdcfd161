/**
 * Occlusion: which parts of a face an answer hangs on: the mean drop of the emotion's probability where a gray patch
 * covers it. Zeiler and Fergus 2014, section 4.2; the rules of `mien.explanation.occlusion`.
 */

const SHARE = 0.2; // of the side of a face, covered at once
const BATCH = 32;

/**
 * @param {(crops: import("./pixels.js").Pixels[]) => Promise<number[][]>} classify @param {import("./pixels.js").Pixels} face
 * @param {(share: number) => void} progress told the share that is done
 * @returns {Promise<{size: number, drops: Float32Array, largest: number, label: number, face: Uint8Array,
 *   channels: number}>} `drops` of each pixel, by rows, -1 to 1; the face as the model sees it
 */
export async function occlusion(classify, face, progress) {
  const size = face.width;
  const side = Math.max(1, Math.round(SHARE * size));
  /** @type {number[]} */
  const starts = [];
  for (let at = 0; at < size - side; at += Math.max(1, side >> 1)) starts.push(at);
  starts.push(size - side);
  const places = starts.flatMap((y) => starts.map((x) => ({ x, y })));
  const [before] = await classify([face]);
  const label = before.indexOf(Math.max(...before));
  const sums = new Float32Array(size * size);
  const counts = new Float32Array(size * size);
  let largest = 0;
  for (let at = 0; at < places.length; at += BATCH) {
    const some = places.slice(at, at + BATCH);
    const answers = await classify(some.map(({ x, y }) => covered(face, x, y, side)));
    some.forEach(({ x, y }, i) => {
      const drop = before[label] - answers[i][label];
      largest = Math.max(largest, drop);
      for (let row = y; row < y + side; row += 1) {
        for (let column = x; column < x + side; column += 1) {
          sums[row * size + column] += drop;
          counts[row * size + column] += 1;
        }
      }
    });
    progress(Math.min((at + BATCH) / places.length, 1));
  }
  const drops = sums.map((sum, i) => sum / counts[i]);
  return { size, drops, largest, label, face: face.data, channels: face.channels };
}

/** The face with a square of its mean color.
 * @param {import("./pixels.js").Pixels} face @param {number} x @param {number} y @param {number} side */
function covered(face, x, y, side) {
  const { width, height, channels } = face;
  const data = face.data.slice();
  for (let c = 0; c < channels; c += 1) {
    let sum = 0;
    for (let i = c; i < face.data.length; i += channels) sum += face.data[i];
    const mean = Math.round(sum / (width * height));
    for (let row = y; row < y + side; row += 1) {
      for (let column = x; column < x + side; column += 1) data[(row * width + column) * channels + c] = mean;
    }
  }
  return { data, width, height, channels };
}
