/** Page: the settings that its three parts share, and which part is shown. */

import { checkBrowser } from "../src/index.js";
import { Camera } from "./camera.js";
import { byId, make, reason, say } from "./dom.js";
import { percent } from "./faces.js";
import { Film } from "./film.js";
import { load, offered } from "./models.js";
import { Photos } from "./photos.js";

const TABS = ["photos", "camera", "film"];
const TRUTHS = { people: "what people see", labels: "as the data labels it" };

/** What is chosen, as the parts see it. */
export class State {
  /** For those that wait already. @type {(first: Promise<import("../src/index.js").Recognizer>) => void} */
  begin = () => {};
  /** @type {Promise<import("../src/index.js").Recognizer>} */
  recognizer = new Promise((resolve) => {
    this.begin = resolve;
  });
  /** @type {string[]} */
  labels = [];
  threshold = 0;
  show = show;
  /** Show it in the part for videos. @type {(file: File) => void} */
  openVideo = () => {};
}

/** @param {string} name */
function show(name) {
  for (const tab of TABS) {
    const button = byId(`tab-${tab}`);
    button.setAttribute("aria-selected", String(tab === name));
    button.tabIndex = tab === name ? 0 : -1;
    byId(tab).hidden = tab !== name;
  }
}

async function main() {
  checkBrowser();
  const state = new State();
  const parts = { photos: new Photos(state), camera: new Camera(state), film: new Film(state) };
  state.openVideo = (file) => {
    show("film");
    parts.camera.stop();
    parts.film.open(file);
  };
  const offer = await offered();
  choices("model", offer.models);
  choices("detector", offer.detectors);
  let request = 0;
  const reload = async (/** @type {boolean} */ keepTruth) => {
    const mine = (request += 1);
    say("Loading the model …");
    const truth = keepTruth ? byId("truth").value || undefined : undefined;
    const before = state.recognizer;
    state.recognizer = load(offer, { model: byId("model").value, detector: byId("detector").value, truth });
    state.begin(state.recognizer);
    const recognizer = await state.recognizer;
    before.then((old) => old !== recognizer && old.close(), () => {});
    if (mine !== request) return;
    state.labels = recognizer.labels;
    const heads = recognizer.card?.people ? ["people", "labels"] : ["labels"];
    choices("truth", heads.map((name) => ({ name, title: TRUTHS[/** @type {"people"} */ (name)] })));
    byId("truth").value = recognizer.truth;
    setThreshold(recognizer.threshold);
    byId("about").textContent = about(recognizer);
    say("");
    await parts.photos.recompute();
    await parts.film.recompute();
  };
  const setThreshold = (/** @type {number} */ value) => {
    state.threshold = value;
    byId("threshold").value = String(value);
    byId("threshold-value").textContent = percent(value);
  };
  byId("threshold").addEventListener("input", () => {
    setThreshold(Number(byId("threshold").value));
    parts.photos.redraw();
    parts.film.redraw();
  });
  for (const id of ["model", "detector"]) byId(id).addEventListener("change", () => reload(false).catch(failed));
  byId("truth").addEventListener("change", () => reload(true).catch(failed));
  wireTabs(parts);
  await reload(false);
}

/** @param {string} id @param {{name: string, title?: string}[]} entries */
function choices(id, entries) {
  byId(id).replaceChildren(...entries.map(({ name, title }) => make("option", { value: name }, title ?? name)));
  byId(id).closest("label").hidden = entries.length < 2;
}

/** @param {{camera: Camera, film: Film}} parts */
function wireTabs(parts) {
  TABS.forEach((name, place) => {
    const go = (/** @type {string} */ to) => {
      show(to);
      if (to !== "camera") parts.camera.stop();
      if (to !== "film") parts.film.stop();
    };
    byId(`tab-${name}`).addEventListener("click", () => go(name));
    byId(`tab-${name}`).addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
      if (!step) return;
      const next = TABS[(place + step + TABS.length) % TABS.length];
      go(next);
      byId(`tab-${next}`).focus();
    });
  });
}

/** @param {import("../src/index.js").Recognizer} recognizer */
function about({ card, truth }) {
  const size = card ? `, ${(/** @type {any} */ (card).parameters / 1e6).toFixed(1)} M parameters` : "";
  return `Model: recipe ${card?.recipe}${size}; answers say ${TRUTHS[truth]}. Computed by onnxruntime-web in this browser.`;
}

/** @param {unknown} error */
function failed(error) {
  say(reason(error));
}

main().catch(failed);
