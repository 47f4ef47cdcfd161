/**
 * Card: what a model file says of itself. It lies in the file's metadata, so any exported run works, whatever its
 * classes.
 */

const KEY = "mien.card";
const METADATA = 14; // field of ModelProto, onnx.proto; each entry has a key (1) and a value (2)

/**
 * @typedef {{level: number, thresholds: number[]}} Sets
 * @typedef {{labels: string[], temperature: number, threshold: number | null, sets?: Sets | null}} Head
 * @typedef {{size: number, color: "gray" | "rgb", mean: number[], std: number[]}} Preprocess
 * @typedef {{eye_distance: number, eye_x: number, eye_y: number, eyes_to_mouth: number}} Alignment
 * @typedef {"people" | "labels"} Truth
 * @typedef {Head & {recipe: string, preprocess: Preprocess, mirror: boolean, mirror_below?: number | null,
 *   alignment: Alignment | null, people: Head | null, truth: Truth}} Card
 */

/** Of FER2013's train faces, for models whose card says nothing. @type {Alignment} */
export const FER2013 = { eye_distance: 0.3746, eye_x: 0.5, eye_y: 0.4031, eyes_to_mouth: 0.3616 };

/** @param {Uint8Array} model the content of an ONNX file @returns {Card} */
export function readCard(model) {
  const text = metadata(model).get(KEY);
  if (text === undefined) {
    throw new Error("This model file has no card, so its labels are not known. Export it with: mien export RUN");
  }
  return JSON.parse(text);
}

/** The head that answers for `truth`, or the card's own where none is asked for, and which of the heads it is.
 * @param {Card} card @param {Truth} [truth] @returns {{head: Head, index: number, truth: Truth}} */
export function headOf(card, truth) {
  const wanted = truth ?? card.truth;
  if (wanted === "labels") return { head: card, index: 0, truth: wanted };
  if (wanted !== "people" || card.people === null) {
    throw new Error(`The model '${card.recipe}' has no answers for the truth '${wanted}'.`);
  }
  return { head: card.people, index: 1, truth: wanted };
}

/** Outputs of each head, side by side. @param {Card} card @returns {number[]} */
export function widths(card) {
  return card.people ? [card.labels.length, card.people.labels.length] : [card.labels.length];
}

/** Whether the mirror image of a face is seen too, by what each head says of the face itself: where one of them is
 * less sure than the card wants. @param {Card} card @param {number[][]} said @returns {boolean} */
export function seenTwice(card, said) {
  const below = card.mirror_below ?? null;
  return card.mirror && (below === null || said.some((probabilities) => Math.max(...probabilities) < below));
}

/** @param {Uint8Array} model @returns {Map<string, string>} */
function metadata(model) {
  const found = new Map();
  const decoder = new TextDecoder();
  for (const [field, entry] of fields(model)) {
    if (field !== METADATA) continue;
    const parts = new Map(fields(entry));
    found.set(decoder.decode(parts.get(1)), decoder.decode(parts.get(2)));
  }
  return found;
}

/** The fields of a protocol buffer that hold bytes: number and content.
 * @param {Uint8Array} content @returns {Generator<[number, Uint8Array]>} */
function* fields(content) {
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let scale = 1; at < content.length; scale *= 128) {
      const byte = content[at];
      at += 1;
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
    throw new Error("This is no ONNX file, or it is cut off.");
  };
  while (at < content.length) {
    const tag = varint();
    const kind = tag % 8;
    if (kind === 0) varint();
    else if (kind === 1) at += 8;
    else if (kind === 5) at += 4;
    else if (kind === 2) {
      const length = varint();
      if (at + length > content.length) throw new Error("This is no ONNX file, or it is cut off.");
      yield [Math.floor(tag / 8), content.subarray(at, at + length)];
      at += length;
    } else throw new Error("This is no ONNX file, or it is damaged.");
  }
}
