/** Photos: chosen, dropped or pasted pictures, each with its marked faces and a card for every face. */

import { byId, make, reason, save, say } from "./dom.js";
import { chosen, dropped, sorted } from "./dropped.js";
import { cards, mark, thumbnail } from "./faces.js";
import { saveCsv, saveJson } from "./table.js";
import { explained } from "./why.js";

const SHOWN = 50; // photos, the last ones: pictures take much memory; the table has all
const LONGEST = 1280; // pixels of a shown one

/**
 * @typedef {object} Photo
 * @property {string} name
 * @property {Blob} file
 * @property {"waits" | "done" | "failed"} state
 * @property {import("./faces.js").Face[]} faces
 * @property {HTMLCanvasElement[]} thumbnails one for each face
 * @property {ImageBitmap | null} small the picture, as it is shown; null where it is no more
 * @property {number} width of the picture, in its own pixels
 * @property {string} [error]
 * @property {boolean} shown
 * @property {HTMLElement} place
 */

export class Photos {
  /** @type {Photo[]} */
  #photos = [];
  /** One after another, whatever is added meanwhile. @type {Promise<unknown>} */
  #last = Promise.resolve();
  #round = 0; // a new one ends what is still waited for

  /** @param {import("./page.js").State} state */
  constructor(state) {
    this.state = state;
    for (const id of ["files", "folder"]) {
      byId(id).addEventListener("change", (/** @type {any} */ event) => {
        this.#add(chosen(event.target.files));
        event.target.value = ""; // the same file can be chosen again
      });
    }
    byId("folder").closest("label").hidden = !("webkitdirectory" in byId("folder")); // phones have no folders
    byId("example").addEventListener("click", () => this.#example());
    byId("csv").addEventListener("click", () => saveCsv("faces.csv", this.#looks(), this.state.labels, this.state.threshold));
    byId("json").addEventListener("click", () => saveJson("faces.json", this.#looks(), this.state.labels, this.state.threshold));
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
      dropped(event.dataTransfer).then((given) => this.#add(given)).catch((error) => say(reason(error)));
    });
    document.addEventListener("paste", (event) => this.#add(chosen(event.clipboardData?.files ?? [])));
  }

  /** Anew with the model that is chosen now. */
  async recompute() {
    await this.#all(this.#photos.filter(({ state }) => state !== "waits"));
  }

  /** With another threshold: nothing is computed anew. */
  redraw() {
    for (const photo of this.#photos) if (photo.state !== "waits") this.#draw(photo);
  }

  async #example() {
    const answer = await fetch("assets/example.jpg");
    await this.#add([{ name: "example.jpg", file: new File([await answer.blob()], "example.jpg", { type: "image/jpeg" }) }]);
  }

  /** @param {import("./dropped.js").Given[]} given */
  async #add(given) {
    const { photos, videos, others } = sorted(given);
    if (videos.length && !photos.length) {
      this.state.openVideo(videos[0].file);
      if (videos.length > 1) say(`One video at a time: this is ${videos[0].name}. 'mien recognize FOLDER' takes a whole folder.`);
      return;
    }
    if (!given.length) return;
    this.state.show("photos");
    const left = [videos.length ? `${count(videos.length, "video")}, to be chosen under Video` : "", others ? count(others, "other file") : ""];
    const told = left.some(Boolean) ? ` Left out: ${left.filter(Boolean).join("; ")}.` : "";
    if (!photos.length) {
      say(`No photo in it.${told}`);
      return;
    }
    const added = photos.map(({ name, file }) => newPhoto(name, file));
    await this.#all(added, told);
  }

  /** @param {Photo[]} photos @param {string} [told] what else is to be said at the end */
  #all(photos, told = "") {
    const round = this.#round;
    const together = make("div"); // the last ones on top, those of a folder in their order
    this.#last = this.#last.then(async () => {
      for (const [i, photo] of photos.entries()) {
        if (round !== this.#round) return;
        const which = photos.length > 1 ? ` (${i + 1} of ${photos.length})` : "";
        say(`Looking at ${photo.name}${which} …`);
        await this.#recognize(photo);
        if (round !== this.#round) return;
        if (!this.#photos.includes(photo)) this.#show(photo, together);
        this.#draw(photo);
      }
      if (photos.length) say(`${summary(photos)}${told}`);
    });
    return this.#last;
  }

  /** @param {Photo} photo @param {HTMLElement} together */
  #show(photo, together) {
    this.#photos.push(photo);
    together.append(photo.place);
    if (!together.isConnected) byId("shown").prepend(together);
    byId("downloads").hidden = false;
    const hidden = this.#photos.at(-1 - SHOWN);
    if (!hidden) return;
    forget(hidden);
    hidden.shown = false;
    hidden.place.remove();
    byId("more").hidden = false;
    byId("more").textContent = `The last ${SHOWN} of ${this.#photos.length} photos are shown; the tables have all.`;
  }

  /** @param {Photo} photo */
  async #recognize(photo) {
    forget(photo);
    Object.assign(photo, { faces: [], error: undefined });
    try {
      const recognizer = await this.state.recognizer;
      const bitmap = await decoded(photo);
      try {
        photo.faces = await recognizer.recognize(bitmap);
        photo.width = bitmap.width;
        if (photo.shown) {
          photo.thumbnails = photo.faces.map((face, i) => thumbnail(bitmap, face, `face ${i + 1}`));
          photo.small = await shrunk(bitmap);
        }
      } finally {
        bitmap.close();
      }
    } catch (error) {
      photo.error = reason(error);
    }
    photo.state = photo.error ? "failed" : "done";
  }

  /** @param {Photo} photo */
  #draw(photo) {
    const title = make("h3", {}, photo.name);
    if (photo.error) photo.place.replaceChildren(title, make("p", { className: "error" }, photo.error));
    if (!photo.small) return;
    const scale = photo.small.width / photo.width;
    const canvas = make("canvas", { width: photo.small.width, height: photo.small.height });
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `${photo.name} with ${count(photo.faces.length, "marked face")}`);
    const context = canvas.getContext("2d");
    context.drawImage(photo.small, 0, 0);
    mark(context, photo.faces, this.state.threshold, scale);
    const png = make("button", { type: "button", hidden: !photo.faces.length }, "Marked picture as PNG");
    png.addEventListener("click", () => this.#savePng(photo).catch((error) => say(reason(error))));
    const none = make("p", { className: "message" }, "No face found. Faces that are very small, turned away or covered are missed; another face detector may find them.");
    const list = photo.faces.length ? make("ul", { className: "faces" }, ...this.#cards(photo)) : none;
    photo.place.replaceChildren(title, make("div", { className: "two" }, make("div", {}, canvas, make("p", { className: "row" }, png)), make("div", {}, list)));
  }

  /** @param {Photo} photo */
  #cards(photo) {
    return cards(photo.faces, this.state.threshold, (_, i) => {
      const why = make("button", { type: "button" }, "Why?");
      why.setAttribute("aria-label", `Why? Which parts of face ${i + 1} the answer hangs on`);
      const side = make("div", { className: "picture" }, photo.thumbnails[i], why);
      why.addEventListener("click", () => explained(this.state, () => decoded(photo), i, side, why));
      return [side];
    });
  }

  /** In all its pixels. @param {Photo} photo */
  async #savePng(photo) {
    const bitmap = await decoded(photo);
    const canvas = make("canvas", { width: bitmap.width, height: bitmap.height });
    const context = canvas.getContext("2d");
    context.drawImage(bitmap, 0, 0);
    bitmap.close();
    mark(context, photo.faces, this.state.threshold);
    const name = photo.name.split("/").at(-1);
    canvas.toBlob((/** @type {Blob} */ blob) => save(`${name}-marked.png`, blob));
  }

  /** Those that were looked at. */
  #looks() {
    return this.#photos.map(({ name, faces, error }) => ({ source: name, faces, error }));
  }

  #clear() {
    this.#round += 1;
    this.#photos.forEach(forget);
    this.#photos = [];
    byId("shown").replaceChildren();
    for (const id of ["downloads", "more"]) byId(id).hidden = true;
    say("");
  }
}

/** @param {string} name @param {Blob} file @returns {Photo} */
function newPhoto(name, file) {
  const place = make("article", { className: "photo" });
  return { name, file, state: "waits", faces: [], thumbnails: [], small: null, width: 0, shown: true, place };
}

/** @param {Photo} photo @returns {Promise<ImageBitmap>} */
async function decoded({ name, file }) {
  try {
    return await createImageBitmap(file);
  } catch {
    const heic = /\.hei[cf]$/i.test(name) || file.type.includes("hei");
    throw new Error(
      heic
        ? "HEIC is not read by this browser. Save it as JPEG or PNG."
        : "not a picture that this browser reads. JPEG, PNG and WebP are read everywhere.",
    );
  }
}

/** @param {ImageBitmap} bitmap */
function shrunk(bitmap) {
  const scale = Math.min(1, LONGEST / Math.max(bitmap.width, bitmap.height));
  const side = (/** @type {number} */ length) => Math.max(1, Math.round(length * scale));
  const size = { resizeWidth: side(bitmap.width), resizeHeight: side(bitmap.height) };
  return createImageBitmap(bitmap, { ...size, resizeQuality: "medium" });
}

/** What is drawn of it. @param {Photo} photo */
function forget(photo) {
  photo.small?.close();
  Object.assign(photo, { small: null, thumbnails: [] });
}

/** @param {Photo[]} photos */
function summary(photos) {
  const [one] = photos;
  const found = (/** @type {Photo} */ { faces }) => (faces.length ? count(faces.length, "face") : "no face found");
  if (photos.length === 1) return `${one.name}: ${one.error ?? `${found(one)}.`}`;
  const failed = photos.filter(({ error }) => error).length;
  const none = photos.filter(({ faces, error }) => !faces.length && !error).length;
  const faces = photos.reduce((sum, photo) => sum + photo.faces.length, 0);
  const parts = [count(faces, "face"), none ? `${none} without a face` : "", failed ? `${failed} could not be read` : ""];
  return `${count(photos.length, "photo")}: ${parts.filter(Boolean).join(", ")}.`;
}

/** @param {number} number @param {string} noun */
function count(number, noun) {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}
