/**
 * Tracker: who is who from frame to frame, and each face's emotion steadied over time. The rules and numbers of
 * `mien.recognize.track`, where their sources stand. Faces are known by place and size alone; nobody is identified.
 */

import { isUnsure } from "./confidence.js";
import { whyUnsure } from "./quality.js";

const LEAD = 0.15; // probability by which another emotion must lead to be shown at once
const HOLD_S = 0.5; // or seconds for which it must lead at all
const REACH = 0.6; // face widths that a face can be away at once
const SPEED = 2; // more per second
const FARTHEST = 2; // at most
const LOST_COST = 0.5; // face widths per second of not being seen
const GROWTH = 1.8; // largest ratio of the sizes of one face in two looks
const VELOCITY_S = 0.25; // time constant of a face's velocity
const COAST_S = 0.5; // seconds for which a lost face is thought to go on as it moved

/**
 * @typedef {import("./engine.js").Face} Face
 * @typedef {{x: number, y: number}} Point
 * @typedef {{id: number, middle: Point, side: number, seen: number, probabilities: number[], shown: number,
 *   rivalSince: number | null, velocity: Point | null}} Track
 */

export class Tracker {
  /** @type {Track[]} */
  #tracks = [];
  #ids = 0;
  #looked = -Infinity;

  /** Seconds: time constant of the smoothing (0: none), and for which a face that is not found keeps its number.
   * @param {{smooth?: number, lost?: number, threshold?: number}} [settings] */
  constructor({ smooth = 0.4, lost = 1, threshold = 0 } = {}) {
    this.smooth = smooth;
    this.lost = lost;
    this.threshold = threshold;
  }

  /** The faces of the next looked-at frame, at `time` seconds, each with its number and steadied.
   * @param {Face[]} faces @param {number} time @returns {(Face & {id: number})[]} */
  next(faces, time) {
    const oldest = Math.min(time - this.lost, this.#looked);
    this.#tracks = this.#tracks.filter((track) => track.seen >= oldest);
    this.#looked = time;
    const known = [...this.#tracks];
    const pairs = paired(known, faces, time);
    return faces.map((face, i) => {
      const at = pairs.get(i);
      const track = at === undefined ? this.#begin(face, time) : known[at];
      if (at !== undefined) this.#goOn(track, face, time);
      return this.#steadied(track, face);
    });
  }

  /** What was seen is of another shot (`cuts.js`): the faces of the next look are new ones, and nothing is smoothed over. */
  cut() {
    this.#tracks = [];
  }

  /** @param {Face} face @param {number} time */
  #begin(face, time) {
    const probabilities = values(face);
    this.#ids += 1;
    const track = {
      id: this.#ids,
      middle: middle(face),
      side: side(face),
      seen: time,
      probabilities,
      shown: largest(probabilities),
      rivalSince: null,
      velocity: null,
    };
    this.#tracks.push(track);
    return track;
  }

  /** @param {Track} track @param {Face} face @param {number} time */
  #goOn(track, face, time) {
    const step = time - track.seen;
    const now = middle(face);
    if (step > 0) {
      const moved = { x: (now.x - track.middle.x) / step, y: (now.y - track.middle.y) / step };
      const old = track.velocity ?? moved;
      const part = weight(step, VELOCITY_S);
      track.velocity = { x: old.x + part * (moved.x - old.x), y: old.y + part * (moved.y - old.y) };
    }
    Object.assign(track, { middle: now, side: side(face), seen: time });
    const part = weight(step, this.smooth);
    const seen = values(face);
    track.probabilities = track.probabilities.map((p, k) => p + part * (seen[k] - p));
    this.#choose(track, time);
  }

  /** Another emotion is shown only once it leads clearly or lastingly. @param {Track} track @param {number} time */
  #choose(track, time) {
    const best = largest(track.probabilities);
    if (best === track.shown) {
      track.rivalSince = null;
      return;
    }
    track.rivalSince ??= time;
    const clear = track.probabilities[best] - track.probabilities[track.shown] >= LEAD;
    if (clear || time - track.rivalSince >= HOLD_S || this.smooth === 0) {
      track.shown = best;
      track.rivalSince = null;
    }
  }

  /** @param {Track} track @param {Face} face */
  #steadied(track, face) {
    if (this.smooth === 0) return { ...face, id: track.id };
    const names = Object.keys(face.probabilities);
    const confidence = track.probabilities[track.shown];
    const unsure = isUnsure(confidence, this.threshold);
    return {
      ...face,
      id: track.id,
      probabilities: Object.fromEntries(names.map((name, k) => [name, track.probabilities[k]])),
      emotion: names[track.shown],
      confidence,
      unsure,
      set: null, // promised of single looks
      whyUnsure: unsure ? whyUnsure(face.quality) : null,
    };
  }
}

/** The weight of a new value in an exponential mean over unevenly spaced times.
 * @param {number} step @param {number} constant */
function weight(step, constant) {
  return constant === 0 ? 1 : -Math.expm1(-step / constant);
}

/** @param {Face} face */
function values(face) {
  const all = Object.values(face.probabilities);
  const sum = all.reduce((a, b) => a + b);
  return all.map((p) => p / sum);
}

/** @param {number[]} numbers */
function largest(numbers) {
  return numbers.indexOf(Math.max(...numbers));
}

/** @param {Face} face @returns {Point} */
function middle({ box: [x, y, width, height] }) {
  return { x: x + width / 2, y: y + height / 2 };
}

/** @param {Face} face */
function side({ box: [, , width, height] }) {
  return Math.sqrt(width * height);
}

/** Number of a face → number of its track, for the faces that have one.
 * @param {Track[]} tracks @param {Face[]} faces @param {number} time @returns {Map<number, number>} */
function paired(tracks, faces, time) {
  if (!tracks.length || !faces.length) return new Map();
  // An impossible pair costs more than all the possible ones together, so as many as can be are paired.
  const impossible = (2 * FARTHEST + Math.log(GROWTH)) * (tracks.length + faces.length + 1);
  const costs = tracks.map((track) => faces.map((face) => cost(track, face, time) ?? impossible));
  const chosen = assign(costs).filter(([track, face]) => costs[track][face] !== impossible);
  return new Map(chosen.map(([track, face]) => [face, track]));
}

/** What it costs that a face goes on a track; null where it cannot be.
 * @param {Track} track @param {Face} face @param {number} time */
function cost(track, face, time) {
  const lost = time - track.seen;
  const coasted = track.velocity ? Math.min(lost, COAST_S) : 0;
  const velocity = track.velocity ?? { x: 0, y: 0 };
  const at = { x: track.middle.x + velocity.x * coasted, y: track.middle.y + velocity.y * coasted };
  const now = middle(face);
  const apart = Math.hypot(at.x - now.x, at.y - now.y) / Math.sqrt(track.side * side(face));
  const growth = Math.abs(Math.log(side(face) / track.side));
  if (apart > Math.min(REACH + SPEED * lost, FARTHEST) || growth > Math.log(GROWTH)) return null;
  return apart + growth + LOST_COST * Math.min(lost, FARTHEST);
}

/** Pairs (row, column) with the least sum of costs; the Hungarian method by shortest augmenting paths.
 * @param {number[][]} costs @returns {[number, number][]} */
export function assign(costs) {
  const rows = costs.length;
  const columns = costs[0].length;
  if (rows > columns) {
    const turned = costs[0].map((_, column) => costs.map((row) => row[column]));
    return assign(turned).map(([column, row]) => [row, column]);
  }
  const priceOfRow = new Array(rows).fill(0);
  const priceOfColumn = new Array(columns + 1).fill(0);
  const owner = new Array(columns + 1).fill(-1); // row that has a column; the last column is where a path begins
  for (let row = 0; row < rows; row += 1) {
    const least = new Array(columns).fill(Infinity);
    const before = new Array(columns).fill(columns);
    const used = new Array(columns + 1).fill(false);
    let column = columns;
    owner[column] = row;
    while (owner[column] >= 0) {
      used[column] = true;
      const at = owner[column];
      let nearest = -1;
      for (let j = 0; j < columns; j += 1) {
        if (used[j]) continue;
        const reduced = costs[at][j] - priceOfRow[at] - priceOfColumn[j];
        if (reduced < least[j]) {
          least[j] = reduced;
          before[j] = column;
        }
        if (nearest < 0 || least[j] < least[nearest]) nearest = j;
      }
      const step = least[nearest];
      for (let j = 0; j <= columns; j += 1) {
        if (used[j]) {
          priceOfRow[owner[j]] += step;
          priceOfColumn[j] -= step;
        } else if (j < columns) least[j] -= step;
      }
      column = nearest;
    }
    while (column !== columns) {
      owner[column] = owner[before[column]];
      column = before[column];
    }
    owner[columns] = -1;
  }
  /** @type {[number, number][]} */
  const pairs = [];
  owner.slice(0, columns).forEach((row, column) => row >= 0 && pairs.push([row, column]));
  return pairs;
}
