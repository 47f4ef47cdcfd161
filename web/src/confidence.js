/** Whether an answer is to be marked unsure; a threshold of 1 marks all.
 * @param {number} confidence @param {number} threshold */
export function isUnsure(confidence, threshold) {
  return confidence < threshold || threshold >= 1;
}
