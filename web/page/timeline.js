/** Timeline: a lane for each face of a video, colored by what its emotion was; a click or the arrow keys go there. */

import { make } from "./dom.js";
import { UNSURE, colorOf, shownColor } from "./faces.js";

const SVG = "http://www.w3.org/2000/svg";
const LANE = 22; // pixels
const LEFT = 34; // pixels for a face's number
const MOST = 12; // faces that have a lane: those that are seen longest
const WIDE = 1000; // units of the whole length

/**
 * @param {import("./table.js").Look[]} looks
 * @param {{duration: number, threshold: number, seek: (time: number) => void}} settings
 * @returns {HTMLElement | null} null where there is no face
 */
export function timeline(looks, { duration, threshold, seek }) {
  const lanes = lanesOf(looks);
  if (!lanes.length) return null;
  const step = looks.length > 1 ? (looks[1].time ?? 0) - (looks[0].time ?? 0) : duration;
  const height = LANE * lanes.length;
  const svg = shape("svg", { viewBox: `0 0 ${WIDE} ${height}`, preserveAspectRatio: "none", class: "lanes" });
  svg.style.height = `${height}px`;
  lanes.forEach(({ moments }, lane) => {
    for (const { time, face } of moments) {
      const place = { x: (WIDE * time) / duration, y: lane * LANE + 3, width: (WIDE * step) / duration + 0.5, height: LANE - 6 };
      svg.append(shape("rect", { ...place, fill: shownColor(face, threshold) }));
    }
  });
  const names = make("div", { className: "names" }, ...lanes.map(({ id }) => make("span", {}, String(id))));
  names.style.width = `${LEFT}px`;
  const slider = make("div", { className: "slider", tabIndex: 0, role: "slider" }, svg);
  slider.setAttribute("aria-label", "Moment of the video, in seconds");
  slider.setAttribute("aria-valuemin", "0");
  slider.setAttribute("aria-valuemax", duration.toFixed(1));
  follow(slider, duration, seek);
  const legend = make("ul", { className: "legend" }, ...entries(lanes));
  const told = `Emotion of each face over ${duration.toFixed(0)} seconds; gray where unsure. Numbers are faces.`;
  return make("figure", { className: "timeline" }, make("figcaption", {}, told), make("div", { className: "lane-row" }, names, slider), legend);
}

/** @param {import("./table.js").Look[]} looks */
function lanesOf(looks) {
  /** @type {Map<number, {time: number, face: import("./faces.js").Face}[]>} */
  const byId = new Map();
  for (const { time, faces } of looks) {
    for (const face of faces) {
      const id = face.id ?? 0;
      if (!byId.has(id)) byId.set(id, []);
      byId.get(id)?.push({ time: time ?? 0, face });
    }
  }
  const all = [...byId].map(([id, moments]) => ({ id, moments }));
  return all.sort((a, b) => b.moments.length - a.moments.length).slice(0, MOST).sort((a, b) => a.id - b.id);
}

/** @param {any} slider @param {number} duration @param {(time: number) => void} seek */
function follow(slider, duration, seek) {
  let now = 0;
  const go = (/** @type {number} */ time) => {
    now = Math.min(Math.max(time, 0), duration);
    slider.setAttribute("aria-valuenow", now.toFixed(1));
    seek(now);
  };
  slider.setAttribute("aria-valuenow", "0");
  slider.addEventListener("click", (/** @type {MouseEvent} */ event) => {
    const { left, width } = slider.getBoundingClientRect();
    go((duration * (event.clientX - left)) / width);
  });
  slider.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    const steps = /** @type {Record<string, number>} */ ({ ArrowRight: 1, ArrowLeft: -1, PageUp: 10, PageDown: -10 });
    if (event.key in steps) go(now + steps[event.key]);
    else if (event.key === "Home") go(0);
    else if (event.key === "End") go(duration);
    else return;
    event.preventDefault();
  });
}

/** @param {ReturnType<typeof lanesOf>} lanes */
function entries(lanes) {
  const face = lanes[0].moments[0].face;
  const color = (/** @type {string} */ fill) => {
    const patch = make("span", { className: "patch" });
    patch.style.background = fill;
    return patch;
  };
  const labels = Object.keys(face.probabilities).map((label) => make("li", {}, color(colorOf(face, label)), label));
  return [...labels, make("li", {}, color(UNSURE), "unsure")];
}

/** @param {string} tag @param {Record<string, string | number>} attributes @returns {any} */
function shape(tag, attributes) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  return made;
}
