/** mien-web: faces and their emotions in the browser, on the visitor's own machine. */

export { Cuts } from "./cuts.js";
export { whyUnsure } from "./quality.js";
export { checkBrowser, Recognizer } from "./recognizer.js";
export { Tracker } from "./track.js";
