/** Film: a video file, played with live boxes or scanned as fast as the machine can, with a timeline and a table. */

import { Cuts, Tracker } from "../src/index.js";
import { nextFrame, overlay } from "./camera.js";
import { byId, make, reason, say } from "./dom.js";
import { cards } from "./faces.js";
import { saveCsv, saveJson } from "./table.js";
import { timeline } from "./timeline.js";

const LOOKS = 5; // a second of film
const BEYOND = 1e7; // seconds, after the end of any film
const LATER = 1e-3; // seconds: the times of frames are rounded, and the one that begins just then is wanted

export class Film {
  /** @type {import("./table.js").Look[]} */
  #looks = [];
  #name = "";
  #scanning = 0; // number of the scan that runs; another one ends it

  /** @param {import("./page.js").State} state */
  constructor(state) {
    this.state = state;
    this.video = byId("film-video");
    byId("film-file").addEventListener("change", (/** @type {any} */ event) => {
      this.open(event.target.files[0]);
      event.target.value = ""; // the same file can be chosen again
    });
    byId("film-scan").addEventListener("click", () => this.#scan());
    byId("film-stop").addEventListener("click", () => this.stop());
    byId("film-csv").addEventListener("click", () => saveCsv(`${this.#name}.csv`, this.#looks, state.labels, state.threshold));
    byId("film-json").addEventListener("click", () => saveJson(`${this.#name}.json`, this.#looks, state.labels, state.threshold));
    this.video.addEventListener("play", () => this.#play());
    this.video.addEventListener("seeked", () => this.#showAt(this.video.currentTime));
    this.video.addEventListener("error", () => this.#refused());
  }

  stop() {
    this.#scanning += 1;
    this.video.pause();
    byId("film-progress").hidden = true;
  }

  async recompute() {
    if (this.#looks.length) await this.#scan();
  }

  redraw() {
    if (this.#looks.length) this.#drawTimeline();
  }

  /** @param {File | undefined} file */
  open(file) {
    if (!file) return;
    this.stop();
    this.#name = file.name;
    this.#looks = [];
    for (const id of ["film-csv", "film-json"]) byId(id).hidden = true;
    byId("film-timeline").replaceChildren();
    this.#show([]);
    URL.revokeObjectURL(this.video.src);
    this.video.src = URL.createObjectURL(file);
    byId("film-stage").hidden = byId("film-scan").hidden = false;
    byId("film-hint").hidden = true;
    say(`${file.name}: play it, or scan it as a whole.`);
  }

  #refused() {
    if (!this.video.src) return;
    byId("film-stage").hidden = byId("film-scan").hidden = true;
    say(`${this.#name}: this browser cannot play it. MP4 with H.264 and WebM are played everywhere; ` +
      "'mien recognize' reads others.");
  }

  /** Live boxes while it plays. */
  async #play() {
    const scan = this.#scanning;
    const [tracker, cuts] = [new Tracker(), new Cuts()];
    try {
      while (!this.video.paused && !this.video.ended && scan === this.#scanning) {
        await nextFrame(this.video);
        if (this.video.paused) break;
        if (cuts.next(this.video)) tracker.cut();
        const faces = await (await this.state.recognizer).recognize(this.video);
        this.#show(tracker.next(faces, this.video.currentTime));
      }
    } catch (error) {
      say(reason(error));
    }
  }

  async #scan() {
    const scan = (this.#scanning += 1);
    this.video.pause();
    await opened(this.video);
    const { duration } = this.video;
    if (!Number.isFinite(duration) || duration === 0) {
      say(`${this.#name}: its length is not known, so it cannot be scanned. Play it.`);
      return;
    }
    /** @type {import("./table.js").Look[]} */
    const looks = [];
    this.#looks = looks;
    for (const id of ["film-csv", "film-json"]) byId(id).hidden = true;
    byId("film-progress").hidden = false;
    say("");
    const stopped = await this.#look(looks, duration, () => scan !== this.#scanning).catch(reason);
    if (this.#looks !== looks) return; // another scan or video
    if (scan === this.#scanning) byId("film-progress").hidden = true;
    this.#drawTimeline();
    this.#showAt(looks.at(-1)?.time ?? 0);
    for (const id of ["film-csv", "film-json"]) byId(id).hidden = !looks.length;
    const told = `${this.#name}: ${looks.length} looks, ${LOOKS} a second`;
    say(stopped ? `${told}. ${stopped}` : `${told}. Click on the timeline to see a moment.`);
  }

  /** At the whole film; why not, where that is so. @param {import("./table.js").Look[]} looks @param {number} duration
   * @param {() => boolean} ended @returns {Promise<string>} */
  async #look(looks, duration, ended) {
    const [tracker, cuts] = [new Tracker(), new Cuts()];
    const began = performance.now();
    for (let i = 0; i / LOOKS < duration; i += 1) {
      const time = i / LOOKS;
      await seeked(this.video, time + LATER);
      if (cuts.next(this.video)) tracker.cut();
      const faces = tracker.next(await (await this.state.recognizer).recognize(this.video), time);
      if (ended()) return `Stopped at ${time.toFixed(1)} of ${duration.toFixed(1)} s; the tables hold what was seen by then.`;
      looks.push({ source: this.#name, time, faces });
      byId("film-done").value = time / duration;
      const speed = time / Math.max((performance.now() - began) / 1000, 0.1);
      byId("film-told").textContent = `${time.toFixed(0)} of ${duration.toFixed(0)} s, ${speed.toFixed(1)} times as fast as it plays`;
      if (looks.length % (2 * LOOKS) === 0) this.#drawTimeline();
    }
    return "";
  }

  #drawTimeline() {
    const seek = (/** @type {number} */ time) => {
      this.video.currentTime = time;
    };
    const drawn = timeline(this.#looks, { duration: this.video.duration, threshold: this.state.threshold, seek });
    byId("film-timeline").replaceChildren(...(drawn ? [drawn] : [make("p", { className: "message" }, "No face so far.")]));
  }

  /** What was found at a moment, once it was scanned. @param {number} time */
  #showAt(time) {
    if (!this.#looks.length || !byId("film-progress").hidden) return;
    const nearest = this.#looks.reduce((a, b) => (Math.abs((b.time ?? 0) - time) < Math.abs((a.time ?? 0) - time) ? b : a));
    this.#show(nearest.faces);
  }

  /** @param {import("./faces.js").Face[]} faces */
  #show(faces) {
    overlay(byId("film-marks"), this.video, faces, this.state.threshold);
    byId("film-faces").replaceChildren(...cards(faces, this.state.threshold));
  }
}

/** Until its length is known, or it is refused. @param {HTMLVideoElement} video */
async function opened(video) {
  if (video.readyState < HTMLMediaElement.HAVE_METADATA && !video.error) {
    await new Promise((resolve) => {
      for (const event of ["loadedmetadata", "error"]) video.addEventListener(event, resolve, { once: true });
    });
  }
  if (video.duration === Infinity) await seeked(video, BEYOND); // a recording of a browser: its length is where it ends
}

/** @param {HTMLVideoElement} video @param {number} time */
function seeked(video, time) {
  return new Promise((resolve, reject) => {
    video.addEventListener("seeked", resolve, { once: true });
    video.addEventListener("error", () => reject(new Error("This moment of the video cannot be shown.")), { once: true });
    video.currentTime = time;
  });
}
