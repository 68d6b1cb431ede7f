// The network in onnxruntime-web: downloaded, opened, checked against logits computed by Python, and run.

import { normalized } from "./transform.js";

/** @import { Model, Transform } from "./types.js" */

/**
 * @typedef {object} Outputs
 * @property {Float32Array} logits (N × C)
 * @property {Float32Array} features (N × F)
 * @property {Float32Array} [maps] (N × F × rows × columns)
 * @property {number} [columns]
 */

const THREADS = 4;
const TOLERANCE = 0.02; // of a logit, relative to the largest one: above differences in rounding
const EXPAND_ONCE = { session: { disable_quant_qdq: "1" } }; // dequantize the weights when the file is opened

export class Network {
  /**
   * @param {any} ort
   * @param {any} session
   * @param {string} provider "webgpu" or "wasm"
   * @param {number} threads
   */
  constructor(ort, session, provider, threads) {
    this.ort = ort;
    this.session = session;
    this.provider = provider;
    this.threads = threads;
  }

  /**
   * @param {{ data: Float32Array, dims: number[] }} input
   * @param {boolean} [maps]
   * @returns {Promise<Outputs>}
   */
  async run(input, maps = false) {
    const image = new this.ort.Tensor("float32", input.data, input.dims);
    const found = await this.session.run({ image }, maps ? ["logits", "features", "maps"] : ["logits", "features"]);
    return { logits: found.logits.data, features: found.features.data, maps: found.maps?.data, columns: found.maps?.dims[3] };
  }

  /**
   * The last layer's weight, (C, F), which the file has as an output.
   * @param {Model} model
   * @returns {Promise<Float32Array>}
   */
  async head(model) {
    const input = reference(model.transform);
    const found = await this.session.run({ image: new this.ort.Tensor("float32", input.data, input.dims) }, ["head"]);
    return new Float32Array(found.head.data);
  }
}

/**
 * Open the network with the best backend: WebGPU if the page includes its runtime and the results agree; otherwise WebAssembly, with
 * threads if the page is cross-origin isolated.
 * @param {Model} model
 * @param {URL} base the page's folder
 * @param {(share: number) => void} progress
 * @returns {Promise<Network>}
 */
export async function openNetwork(model, base, progress) {
  const graphics = model.webgpu && (await hasGraphics());
  const shares = [0, 0];
  /** @param {number} part */
  const tell = (part) => (/** @type {number} */ share) => { shares[part] = share; progress((shares[0] + shares[1]) / 2); };
  const kept = await cacheOf(model, base);
  const content = fetched(new URL(model.network.file, base), tell(0), kept);
  if (graphics && model.webgpu) {
    try {
      return await opened(model, base, model.webgpu, await content, "webgpu", tell(1), kept);
    } catch (error) {
      console.warn("WebGPU is not used:", error);
    }
  }
  return opened(model, base, model.runtime, await content, "wasm", tell(1), kept);
}

/**
 * @param {Model} model
 * @param {URL} base
 * @param {Model["runtime"]} files
 * @param {Uint8Array} content
 * @param {string} provider
 * @param {(share: number) => void} tell
 * @param {Cache | null} kept
 */
async function opened(model, base, files, content, provider, tell, kept) {
  const [ort, wasm] = await Promise.all([import(new URL(files.module, base).href), fetched(new URL(files.wasm, base), tell, kept)]);
  const threads = globalThis.crossOriginIsolated ? Math.min(navigator.hardwareConcurrency || 1, THREADS) : 1;
  ort.env.wasm.numThreads = threads;
  ort.env.wasm.wasmBinary = wasm;
  ort.env.wasm.wasmPaths = { mjs: new URL(files.glue, base).href, wasm: new URL(files.wasm, base).href };
  ort.env.logLevel = "error";
  const session = await ort.InferenceSession.create(content, {
    executionProviders: [provider], graphOptimizationLevel: "all", extra: EXPAND_ONCE, logSeverityLevel: 3,
  });
  const network = new Network(ort, session, provider, threads);
  const { logits } = await network.run(reference(model.transform));
  const known = model.network.reference;
  const largest = known.reduce((most, value, n) => Math.max(most, Math.abs(value - logits[n])), 0);
  const bound = TOLERANCE * Math.max(1, ...known.map(Math.abs));
  if (!(largest <= bound)) throw new Error(`differs by ${largest}`);
  return network;
}

async function hasGraphics() {
  try {
    const gpu = /** @type {any} */ (navigator).gpu;
    return Boolean(gpu && (await gpu.requestAdapter()));
  } catch {
    return false;
  }
}

/**
 * The service worker's cache, so that large files are not downloaded twice; null without https.
 * @param {Model} model
 * @param {URL} base
 */
async function cacheOf(model, base) {
  try {
    return await globalThis.caches.open(`fruitvision ${base.href} ${model.version}`);
  } catch {
    return null;
  }
}

/**
 * Download a gzip file, and decompress it, unless the server or the browser has done so already.
 * @param {URL} url
 * @param {(share: number) => void} tell
 * @param {Cache | null} [kept]
 * @returns {Promise<Uint8Array>}
 */
export async function fetched(url, tell, kept = null) {
  const response = await fetch(url);
  if (!response.ok || !response.body) throw new Error(`${url.pathname}: ${response.status}`);
  if (kept && !(await kept.match(url))) kept.put(url, response.clone()).catch(() => undefined); // no room: it is downloaded again
  const whole = Number(response.headers.get("Content-Length")) || 0;
  const parts = [], reader = response.body.getReader();
  for (let length = 0; ;) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    length += value.length;
    if (whole) tell(Math.min(length / whole, 1));
  }
  tell(1);
  const content = new Blob(/** @type {BlobPart[]} */ (parts));
  const start = new Uint8Array(await content.slice(0, 2).arrayBuffer());
  if (start[0] !== 0x1f || start[1] !== 0x8b) return new Uint8Array(await content.arrayBuffer());
  return new Uint8Array(await new Response(content.stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer());
}

/**
 * The test pattern whose logits Python computed, as the network's input.
 * @param {Transform} transform
 */
export function reference(transform) {
  const side = transform.crop, data = new Uint8Array(side * side * 3);
  for (let y = 0, at = 0; y < side; y++) {
    for (let x = 0; x < side; x++) for (let c = 0; c < 3; c++, at++) data[at] = (x * 3 + y * 5 + c * 80 + ((x * y) >> 5)) & 255;
  }
  return normalized(transform, [{ width: side, height: side, data }]);
}
