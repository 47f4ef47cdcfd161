/** Photos: chosen, dropped or pasted pictures, each with its marked faces and a card for every face. */

import { byId, make, reason, save, say } from "./dom.js";
import { cards, mark, percent, thumbnail } from "./faces.js";
import { saveCsv, saveJson } from "./table.js";

/** @typedef {{name: string, bitmap: ImageBitmap | null, faces: import("./faces.js").Face[], error?: string, place: HTMLElement}} Photo */

export class Photos {
  /** @type {Photo[]} */
  #photos = [];

  /** @param {import("./page.js").State} state */
  constructor(state) {
    this.state = state;
    byId("files").addEventListener("change", (/** @type {any} */ event) => {
      this.#add([...event.target.files]);
      event.target.value = ""; // the same file can be chosen again
    });
    byId("example").addEventListener("click", () => this.#example());
    byId("csv").addEventListener("click", () => saveCsv("faces.csv", this.#looks(), this.state.labels, this.state.threshold));
    byId("json").addEventListener("click", () => saveJson("faces.json", this.#looks(), this.state.threshold));
    byId("clear").addEventListener("click", () => this.#clear());
    const drop = byId("drop");
    document.addEventListener("dragover", (event) => {
      event.preventDefault();
      drop.classList.add("over");
    });
    document.addEventListener("dragleave", () => drop.classList.remove("over"));
    document.addEventListener("drop", (event) => {
      event.preventDefault();
      drop.classList.remove("over");
      this.#add([...(event.dataTransfer?.files ?? [])]);
    });
    document.addEventListener("paste", (event) => this.#add([...(event.clipboardData?.files ?? [])]));
  }

  /** Anew with the model that is chosen now. */
  async recompute() {
    for (const photo of this.#photos) await this.#recognize(photo);
  }

  /** With another threshold: nothing is computed anew. */
  redraw() {
    for (const photo of this.#photos) this.#draw(photo);
  }

  async #example() {
    const answer = await fetch("assets/example.jpg");
    await this.#add([new File([await answer.blob()], "example.jpg", { type: "image/jpeg" })]);
  }

  /** @param {File[]} files */
  async #add(files) {
    if (files.length) this.state.show("photos");
    for (const file of files) {
      const photo = { name: file.name || "pasted picture", bitmap: null, faces: [], place: make("article", { className: "photo" }) };
      this.#photos.push(photo);
      byId("shown").prepend(photo.place);
      byId("downloads").hidden = false;
      await this.#open(photo, file);
    }
  }

  /** @param {Photo} photo @param {File} file */
  async #open(photo, file) {
    try {
      photo.bitmap = await createImageBitmap(file);
    } catch {
      const heic = /\.hei[cf]$/i.test(photo.name) || file.type.includes("hei");
      photo.error = heic
        ? "HEIC is not read by this browser. Save it as JPEG or PNG."
        : "not a picture that this browser reads. JPEG, PNG and WebP are read everywhere.";
    }
    await this.#recognize(photo);
  }

  /** @param {Photo} photo */
  async #recognize(photo) {
    if (photo.bitmap) {
      try {
        say(`Looking at ${photo.name} …`);
        photo.faces = await (await this.state.recognizer).recognize(photo.bitmap);
        photo.error = undefined;
        const count = photo.faces.length;
        say(`${photo.name}: ${count === 0 ? "no face found" : count === 1 ? "1 face" : `${count} faces`}.`);
      } catch (error) {
        photo.error = reason(error);
      }
    }
    if (photo.error) say(`${photo.name}: ${photo.error}`);
    this.#draw(photo);
  }

  /** @param {Photo} photo */
  #draw(photo) {
    const title = make("h3", {}, photo.name);
    if (!photo.bitmap || photo.error) {
      photo.place.replaceChildren(title, make("p", { className: "error" }, photo.error ?? ""));
      return;
    }
    const { bitmap, faces } = photo;
    const canvas = make("canvas", { width: bitmap.width, height: bitmap.height });
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `${photo.name} with ${faces.length} marked faces`);
    const context = canvas.getContext("2d");
    context.drawImage(bitmap, 0, 0);
    mark(context, faces, this.state.threshold);
    const png = make("button", { type: "button" }, "Marked picture as PNG");
    png.addEventListener("click", () => canvas.toBlob((/** @type {Blob} */ blob) => save(`${photo.name}-marked.png`, blob)));
    const none = faces.length ? [] : [make("p", { className: "message" }, "No face found.")];
    const list = make("ul", { className: "faces" }, ...this.#cards(photo));
    photo.place.replaceChildren(title, make("div", { className: "two" }, make("div", {}, canvas, make("p", { className: "row" }, png)), make("div", {}, ...none, list)));
  }

  /** @param {Photo} photo */
  #cards(photo) {
    return cards(photo.faces, this.state.threshold, (face, i) => {
      const picture = thumbnail(/** @type {ImageBitmap} */ (photo.bitmap), face, `face ${i + 1}`);
      const why = make("button", { type: "button" }, "Why?");
      why.setAttribute("aria-label", `Why? Which parts of face ${i + 1} the answer hangs on`);
      const side = make("div", { className: "picture" }, picture, why);
      why.addEventListener("click", () => this.#explain(photo, i, side, why));
      return [side];
    });
  }

  /** @param {Photo} photo @param {number} index @param {HTMLElement} side @param {any} button */
  async #explain(photo, index, side, button) {
    button.disabled = true;
    try {
      const recognizer = await this.state.recognizer;
      const map = await recognizer.explain(/** @type {ImageBitmap} */ (photo.bitmap), index, (share) => {
        button.textContent = percent(share);
      });
      const drop = Math.round(100 * map.largest);
      const words = `The redder, the more '${recognizer.labels[map.label]}' hangs on this part: covered, it loses up to ${drop} points.`;
      side.replaceChildren(heat(map, words), make("p", { className: "faint" }, words));
    } catch (error) {
      say(reason(error));
      button.disabled = false;
    }
  }

  #looks() {
    return this.#photos.map(({ name, faces, error }) => ({ source: name, faces: error ? [] : faces, error }));
  }

  #clear() {
    for (const { bitmap } of this.#photos) bitmap?.close();
    this.#photos = [];
    byId("shown").replaceChildren();
    byId("downloads").hidden = true;
    say("");
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
