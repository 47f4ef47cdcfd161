/** Camera: live boxes and steadied bars. Faces are looked for in every third frame and followed in between. */

import { Tracker } from "../src/index.js";
import { byId, reason, say } from "./dom.js";
import { cards, mark } from "./faces.js";

const EVERY = 3; // frames
const BARS_S = 0.15; // seconds between two drawings of the cards

export class Camera {
  #facing = "user";
  /** @type {MediaStream | null} */
  #stream = null;

  /** @param {import("./page.js").State} state */
  constructor(state) {
    this.state = state;
    this.video = byId("camera-video");
    byId("camera-start").addEventListener("click", () => (this.#stream ? this.stop() : this.#start()));
    byId("camera-turn").addEventListener("click", async () => {
      this.#facing = this.#facing === "user" ? "environment" : "user";
      this.stop();
      await this.#start();
    });
  }

  stop() {
    this.#stream?.getTracks().forEach((track) => track.stop());
    this.#stream = null;
    this.video.srcObject = null;
    byId("camera-stage").hidden = true;
    byId("camera-start").textContent = "Start camera";
    byId("camera-rate").textContent = "";
    byId("camera-faces").replaceChildren();
    const marks = byId("camera-marks");
    marks.getContext("2d").clearRect(0, 0, marks.width, marks.height);
  }

  async #start() {
    try {
      if (!navigator.mediaDevices) throw new Error("A browser gives its camera to pages from https or localhost alone.");
      const size = { width: { ideal: 640 }, height: { ideal: 480 } };
      const stream = await navigator.mediaDevices.getUserMedia({ video: { ...size, facingMode: this.#facing } });
      this.#stream = stream;
      this.video.srcObject = stream;
      await this.video.play();
      byId("camera-stage").hidden = false;
      byId("camera-start").textContent = "Stop camera";
      const devices = await navigator.mediaDevices.enumerateDevices();
      byId("camera-turn").hidden = devices.filter((one) => one.kind === "videoinput").length < 2;
      say("");
      await this.#watch(stream);
    } catch (error) {
      say(told(error));
      this.stop();
    }
  }

  /** @param {MediaStream} stream */
  async #watch(stream) {
    const tracker = new Tracker();
    /** @type {number[]} */
    const times = [];
    let drawn = 0;
    for (let frame = 0; this.#stream === stream; frame += 1) {
      await nextFrame(this.video);
      const time = performance.now() / 1000;
      const recognizer = await this.state.recognizer;
      const look = frame % EVERY === 0 ? recognizer.recognize(this.video) : recognizer.follow(this.video);
      const faces = tracker.next(await look, time);
      if (this.#stream !== stream) return;
      drawn = this.#draw(faces, time, drawn);
      times.push(performance.now() / 1000);
      while (times[0] < time - 2) times.shift();
      const rate = (times.length - 1) / (times[times.length - 1] - times[0]);
      if (times.length > 2) byId("camera-rate").textContent = `${rate.toFixed(0)} frames a second${faces.length ? "" : "; no face in view"}`;
    }
  }

  /** @param {import("./faces.js").Face[]} faces @param {number} time @param {number} drawn */
  #draw(faces, time, drawn) {
    overlay(byId("camera-marks"), this.video, faces, this.state.threshold);
    if (time - drawn < BARS_S) return drawn;
    byId("camera-faces").replaceChildren(...cards(faces, this.state.threshold));
    return time;
  }
}

/** Boxes over a playing video. @param {HTMLCanvasElement} canvas @param {HTMLVideoElement} video
 * @param {import("./faces.js").Face[]} faces @param {number} threshold */
export function overlay(canvas, video, faces, threshold) {
  if (canvas.width !== video.videoWidth || canvas.height !== video.videoHeight) {
    canvas.width = video.videoWidth;
    canvas.height = video.videoHeight;
  }
  const context = canvas.getContext("2d");
  if (!context) return;
  context.clearRect(0, 0, canvas.width, canvas.height);
  mark(context, faces, threshold);
}

/** Until the video shows another picture. @param {HTMLVideoElement} video */
export function nextFrame(video) {
  return new Promise((resolve) => {
    if ("requestVideoFrameCallback" in video) video.requestVideoFrameCallback(resolve);
    else requestAnimationFrame(resolve);
  });
}

/** @param {unknown} error */
function told(error) {
  const name = error instanceof Error ? error.name : "";
  if (name === "NotAllowedError") return "The camera is not allowed for this page. Allow it in the browser's address bar.";
  if (name === "NotFoundError") return "No camera was found.";
  if (name === "NotReadableError") return "The camera is used by another program.";
  return reason(error);
}
