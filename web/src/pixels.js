/**
 * Pixels: the few operations on pictures that recognition needs, with the numbers that OpenCV gives within one level.
 *
 * `data` holds rows from the top, pixels from the left, channels side by side: 3 for RGB, 1 for gray.
 *
 * @typedef {{data: Uint8Array, width: number, height: number, channels: number}} Pixels
 */

/** The whole number that Python's `round` gives: halves go to the even neighbour.
 * @param {number} value */
export function roundEven(value) {
  const low = Math.floor(value);
  const rest = value - low;
  if (rest !== 0.5) return Math.round(value);
  return low % 2 === 0 ? low : low + 1;
}

/** @param {number} width @param {number} height @param {number} channels @returns {Pixels} */
export function blank(width, height, channels) {
  return { data: new Uint8Array(width * height * channels), width, height, channels };
}

/** RGB of a canvas's RGBA, which has nothing transparent in it.
 * @param {{data: Uint8ClampedArray, width: number, height: number}} rgba @returns {Pixels} */
export function fromCanvas(rgba) {
  const made = blank(rgba.width, rgba.height, 3);
  const { data } = made;
  for (let from = 0, to = 0; to < data.length; from += 4, to += 3) {
    data[to] = rgba.data[from];
    data[to + 1] = rgba.data[from + 1];
    data[to + 2] = rgba.data[from + 2];
  }
  return made;
}

/** With the BT.601 weights, in OpenCV's whole numbers.
 * @param {Pixels} image @returns {Pixels} */
export function toGray(image) {
  if (image.channels === 1) return image;
  const made = blank(image.width, image.height, 1);
  for (let from = 0, to = 0; to < made.data.length; from += 3, to += 1) {
    const sum = 4899 * image.data[from] + 9617 * image.data[from + 1] + 1868 * image.data[from + 2];
    made.data[to] = (sum + 8192) >> 14;
  }
  return made;
}

/** Area averaging where both sides shrink, bilinear otherwise; the aspect is not kept.
 * @param {Pixels} image @param {number} width @param {number} height @returns {Pixels} */
export function resize(image, width, height) {
  if (image.width === width && image.height === height) return image;
  const shrinks = image.width >= width && image.height >= height;
  return shrinks ? shrunk(image, width, height) : stretched(image, width, height);
}

/** At half its size; an odd last row or column is left out.
 * @param {Pixels} image @returns {Pixels} */
export function halved(image) {
  const { data, channels } = image;
  const made = blank(image.width >> 1, image.height >> 1, channels);
  const row = image.width * channels;
  let to = 0;
  for (let y = 0; y < made.height; y += 1) {
    for (let x = 0; x < made.width; x += 1) {
      let at = 2 * y * row + 2 * x * channels;
      for (let c = 0; c < channels; c += 1, at += 1, to += 1) {
        made.data[to] = (data[at] + data[at + channels] + data[at + row] + data[at + row + channels] + 2) >> 2;
      }
    }
  }
  return made;
}

/** By the share of each pixel that lies in the new one.
 * @param {Pixels} image @param {number} width @param {number} height @returns {Pixels} */
export function shrunk(image, width, height) {
  if (image.width === 2 * width && image.height === 2 * height) return halved(image);
  const { data, channels } = image;
  const across = shares(image.width, width);
  const down = shares(image.height, height);
  const narrow = new Float32Array(width * channels);
  const sum = new Float32Array(width * channels);
  const made = blank(width, height, channels);
  for (let y = 0; y < height; y += 1) {
    sum.fill(0);
    for (let k = down.starts[y]; k < down.starts[y + 1]; k += 1) {
      narrowed(data, down.places[k] * image.width * channels, across, channels, narrow);
      const share = down.parts[k];
      for (let i = 0; i < sum.length; i += 1) sum[i] += share * narrow[i];
    }
    const row = y * width * channels;
    for (let i = 0; i < sum.length; i += 1) made.data[row + i] = roundEven(sum[i]);
  }
  return made;
}

/** One row of it.
 * @param {Uint8Array} data @param {number} row @param {Shares} across @param {number} channels
 * @param {Float32Array} narrow */
function narrowed(data, row, across, channels, narrow) {
  narrow.fill(0);
  for (let x = 0; x < across.starts.length - 1; x += 1) {
    for (let k = across.starts[x]; k < across.starts[x + 1]; k += 1) {
      const at = row + across.places[k] * channels;
      for (let c = 0; c < channels; c += 1) narrow[x * channels + c] += across.parts[k] * data[at + c];
    }
  }
}

/**
 * Which old places make each new one, and with which share of it.
 * @typedef {{starts: number[], places: number[], parts: number[]}} Shares
 * @param {number} from @param {number} to @returns {Shares}
 */
function shares(from, to) {
  const scale = from / to;
  /** @type {Shares} */
  const made = { starts: [0], places: [], parts: [] };
  const add = (/** @type {number} */ place, /** @type {number} */ part) => {
    made.places.push(place);
    made.parts.push(part);
  };
  for (let i = 0; i < to; i += 1) {
    const begins = i * scale;
    const ends = begins + scale;
    const cell = Math.min(scale, from - begins);
    const last = Math.min(Math.floor(ends), from - 1);
    const first = Math.min(Math.ceil(begins), last);
    if (first - begins > 1e-3) add(first - 1, (first - begins) / cell);
    for (let place = first; place < last; place += 1) add(place, 1 / cell);
    if (ends - last > 1e-3) add(last, Math.min(ends - last, 1, cell) / cell);
    made.starts.push(made.places.length);
  }
  return made;
}

/** Bilinear, pixels' middles on pixels' middles.
 * @param {Pixels} image @param {number} width @param {number} height @returns {Pixels} */
export function stretched(image, width, height) {
  return warped(image, width, height, [image.width / width, 0, 0, image.height / height], {
    x: 0.5 * (image.width / width) - 0.5,
    y: 0.5 * (image.height / height) - 0.5,
  });
}

/**
 * What lies at `turn`·(x, y) + `shift` in the old picture, for each place of the new one; bilinear, beyond the edge the
 * last pixel.
 * @param {Pixels} image @param {number} width @param {number} height
 * @param {[number, number, number, number]} turn @param {{x: number, y: number}} shift @returns {Pixels}
 */
export function warped(image, width, height, turn, shift) {
  const { data, channels } = image;
  const made = blank(width, height, channels);
  const right = image.width - 1;
  const bottom = image.height - 1;
  let to = 0;
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      const fromX = Math.min(Math.max(turn[0] * x + turn[1] * y + shift.x, 0), right);
      const fromY = Math.min(Math.max(turn[2] * x + turn[3] * y + shift.y, 0), bottom);
      const x0 = Math.floor(fromX);
      const y0 = Math.floor(fromY);
      const alongX = fromX - x0;
      const alongY = fromY - y0;
      const next = x0 < right ? channels : 0;
      const at = (y0 * image.width + x0) * channels;
      const below = y0 < bottom ? at + image.width * channels : at;
      for (let c = 0; c < channels; c += 1, to += 1) {
        const top = data[at + c] + alongX * (data[at + next + c] - data[at + c]);
        const low = data[below + c] + alongX * (data[below + next + c] - data[below + c]);
        made.data[to] = Math.round(top + alongY * (low - top));
      }
    }
  }
  return made;
}

/** Mirrored left to right.
 * @param {Pixels} image @returns {Pixels} */
export function mirrored(image) {
  return warped(image, image.width, image.height, [-1, 0, 0, 1], { x: image.width - 1, y: 0 });
}

/** Planes of `(value · scale + offset)`, one for each channel, into `target` from `start` on: what a network is shown.
 * @param {Pixels} image @param {Float32Array} target @param {number} start
 * @param {number[]} scale @param {number[]} offset */
export function planes(image, target, start, scale, offset) {
  const { data, channels } = image;
  const plane = image.width * image.height;
  for (let c = 0; c < channels; c += 1) {
    const to = start + c * plane;
    for (let i = 0, from = c; i < plane; i += 1, from += channels) {
      target[to + i] = data[from] * scale[c] + offset[c];
    }
  }
}
