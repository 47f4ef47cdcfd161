/** Table: found faces with the columns of `mien recognize --out`, as CSV and JSON. */

import { isUnsure } from "../src/confidence.js";
import { save } from "./dom.js";

const FORMAT = 3; // of mien's table

/**
 * @typedef {import("./faces.js").Face} Face
 * @typedef {{source: string, faces: Face[], time?: number, error?: string}} Look a picture, or a moment of a video
 */

/** One row a face; a look without one, or that failed, has one row. @param {Look[]} looks @param {number} threshold */
export function rows(looks, threshold) {
  return looks.flatMap(({ source, faces, time, error }) => {
    const place = { source, frame: null, time_s: time === undefined ? null : rounded(time, 3) };
    if (!faces.length) return [{ ...place, status: error ? "error" : "no_face", error: error ?? null, format: FORMAT }];
    return faces.map((face, i) => ({
      ...place,
      status: "face",
      error: null,
      face_id: face.id ?? i + 1,
      x: face.box[0],
      y: face.box[1],
      width: face.box[2],
      height: face.box[3],
      detection_score: face.detectionScore === null ? null : rounded(face.detectionScore, 4),
      emotion: face.emotion,
      ...Object.fromEntries(Object.entries(face.probabilities).map(([label, p]) => [`p_${label}`, rounded(p, 6)])),
      unsure: isUnsure(face.confidence, threshold),
      format: FORMAT,
    }));
  });
}

/** @param {string} name @param {Look[]} looks @param {string[]} labels @param {number} threshold */
export function saveCsv(name, looks, labels, threshold) {
  const columns = ["source", "frame", "time_s", "status", "error", "face_id", "x", "y", "width", "height"];
  columns.push("detection_score", "emotion", ...labels.map((label) => `p_${label}`), "unsure", "format");
  const lines = rows(looks, threshold).map((row) => columns.map((column) => cell(/** @type {any} */ (row)[column])));
  const text = [columns, ...lines].map((line) => `${line.join(",")}\r\n`).join("");
  save(name, new Blob([text], { type: "text/csv" }));
}

/** @param {string} name @param {Look[]} looks @param {number} threshold */
export function saveJson(name, looks, threshold) {
  save(name, new Blob([`${JSON.stringify(rows(looks, threshold), null, 1)}\n`], { type: "application/json" }));
}

/** @param {unknown} value */
function cell(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "boolean") return value ? "True" : "False";
  const text = String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** @param {number} value @param {number} digits */
function rounded(value, digits) {
  return Number(value.toFixed(digits));
}
