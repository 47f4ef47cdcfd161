/**
 * Session: onnxruntime-web, opened the same way for classifiers and detectors. WebAssembly alone: on networks this
 * small WebGPU is no faster, and it is twice as large to load.
 */

import * as ort from "onnxruntime-web/wasm";

/**
 * @typedef {(input: Float32Array, shape: number[]) => Promise<Float32Array[]>} Network outputs in the file's order
 */

const FEW = 4; // threads; more do not help networks this small

/** Where the runtime's own files lie, and on how many cores it works. Call it before the first network is opened.
 * @param {string} assets address of the folder, with a slash at its end @param {number} [threads] */
export function configure(assets, threads) {
  ort.env.wasm.wasmPaths = assets;
  const cores = globalThis.crossOriginIsolated ? Math.min(navigator.hardwareConcurrency || 1, FEW) : 1;
  ort.env.wasm.numThreads = threads ?? cores;
  ort.env.logLevel = "fatal";
}

/** @param {Uint8Array} model @returns {Promise<Network>} */
export async function open(model) {
  const session = await ort.InferenceSession.create(model, {
    executionProviders: ["wasm"],
    graphOptimizationLevel: "all", // as native: then what is in 8 bits gives the same numbers
  });
  const [name] = session.inputNames;
  return async (input, shape) => {
    const answer = await session.run({ [name]: new ort.Tensor("float32", input, shape) });
    return session.outputNames.map((output) => /** @type {Float32Array} */ (answer[output].data));
  };
}
