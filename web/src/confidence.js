/** The labels that hold the truth with the probability of the head's sets, the most probable first: those from their
 * threshold on, and the most probable one always. null of a model without sets; `in_set` of mien.confidence.
 * @param {number[]} answer @param {import("./card.js").Head} head @returns {string[] | null} */
export function setOf(answer, { labels, sets }) {
  if (!sets) return null;
  const order = labels.map((_, k) => k).sort((a, b) => answer[b] - answer[a]);
  return order.filter((k, rank) => rank === 0 || answer[k] >= sets.thresholds[k]).map((k) => labels[k]);
}

/** Whether an answer is to be marked unsure; a threshold of 1 marks all.
 * @param {number} confidence @param {number} threshold */
export function isUnsure(confidence, threshold) {
  return confidence < threshold || threshold >= 1;
}
