/** Why: the parts of a face that its answer hangs on, where its thumbnail was. */

import { make, reason, say } from "./dom.js";
import { percent } from "./faces.js";

/** @param {import("./page.js").State} state @param {() => Promise<ImageBitmap>} open @param {number} index
 * @param {HTMLElement} side @param {any} button */
export async function explained(state, open, index, side, button) {
  button.disabled = true;
  try {
    const [recognizer, bitmap] = await Promise.all([state.recognizer, open()]);
    const map = await recognizer.explain(bitmap, index, (share) => {
      button.textContent = percent(share);
    });
    bitmap.close();
    const drop = Math.round(100 * map.largest);
    const words = `The redder, the more '${recognizer.labels[map.label]}' hangs on this part: covered, it loses up to ${drop} points.`;
    side.replaceChildren(heat(map, words), make("p", { className: "faint" }, words));
  } catch (error) {
    say(reason(error));
    button.disabled = false;
  }
}

/** The face as the model sees it, redder where more hangs on it.
 * @param {Awaited<ReturnType<import("../src/recognizer.js").Recognizer["explain"]>>} map @param {string} words */
function heat({ size, drops, largest, face, channels }, words) {
  const canvas = make("canvas", { width: size, height: size, className: "thumbnail" });
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", words);
  const image = new ImageData(size, size);
  for (let i = 0; i < size * size; i += 1) {
    const part = largest > 0 ? Math.min(Math.max(drops[i] / largest, 0), 1) : 0;
    for (let c = 0; c < 3; c += 1) {
      const own = face[i * channels + (channels === 3 ? c : 0)];
      image.data[4 * i + c] = own + part * 0.75 * ((c === 0 ? 230 : 30) - own);
    }
    image.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}
