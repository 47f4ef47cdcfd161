/** Table: found faces with the columns of `mien recognize --out`, as CSV and JSON. */

import { isUnsure } from "../src/confidence.js";
import { whyUnsure } from "../src/quality.js";
import { save } from "./dom.js";

const FORMAT = 5; // of mien's table: `TABLE` of mien.formats

/**
 * @typedef {import("./faces.js").Face} Face
 * @typedef {{source: string, faces: Face[], time?: number, error?: string}} Look a picture, or a moment of a video
 */

/** One row a face; a look without one, or that failed, has one row.
 * @param {Look[]} looks @param {string[]} labels @param {number} threshold */
export function rows(looks, labels, threshold) {
  return looks.flatMap((look) => {
    if (!look.faces.length) return [row(look, null, 0, labels, threshold)];
    return look.faces.map((face, i) => row(look, face, face.id ?? i + 1, labels, threshold));
  });
}

/** A value for each column, in order; null is an empty cell. A browser does not tell the number of a frame.
 * @param {Look} look @param {Face | null} face @param {number} number @param {string[]} labels @param {number} threshold */
function row(look, face, number, labels, threshold) {
  const unsure = face && isUnsure(face.confidence, threshold);
  return {
    source: look.source,
    frame: null,
    time_s: rounded(look.time, 3),
    status: face ? "face" : look.error ? "error" : "no_face",
    error: look.error ?? null,
    face_id: face && number,
    x: face && face.box[0],
    y: face && face.box[1],
    width: face && face.box[2],
    height: face && face.box[3],
    detection_score: face && rounded(face.detectionScore, 4),
    emotion: face && face.emotion,
    ...Object.fromEntries(labels.map((label) => [`p_${label}`, face && rounded(face.probabilities[label], 6)])),
    unsure,
    format: FORMAT,
    face_size: face && face.quality.size,
    sharpness: face && face.quality.sharpness,
    brightness: face && face.quality.brightness,
    roll: face && face.quality.roll,
    yaw: face && face.quality.yaw,
    why_unsure: face && unsure ? whyUnsure(face.quality) : null,
    set: face && face.set && face.set.join("|"),
  };
}

/** @param {string} name @param {Look[]} looks @param {string[]} labels @param {number} threshold */
export function saveCsv(name, looks, labels, threshold) {
  const written = rows(looks, labels, threshold);
  if (!written.length) return;
  const lines = [Object.keys(written[0]), ...written.map((values) => Object.values(values))];
  const text = lines.map((line) => `${line.map(cell).join(",")}\r\n`).join("");
  save(name, new Blob([text], { type: "text/csv" }));
}

/** @param {string} name @param {Look[]} looks @param {string[]} labels @param {number} threshold */
export function saveJson(name, looks, labels, threshold) {
  save(name, new Blob([`${JSON.stringify(rows(looks, labels, threshold), null, 1)}\n`], { type: "application/json" }));
}

/** As mien writes it: truth values in small letters. @param {unknown} value */
function cell(value) {
  const text = String(value ?? "");
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** @param {number | null | undefined} value @param {number} digits */
function rounded(value, digits) {
  return value === null || value === undefined ? null : Number(value.toFixed(digits));
}
