// The page's worker: it decodes pictures, runs the network, and fits the taught head, without blocking the page. Requests are handled one
// at a time, in order.

import { labelSpace, predictionOf, probabilitiesOf, sharesOf, smoothed } from "./answers.js";
import { classActivation, overlay, palette } from "./heatmap.js";
import { openNetwork } from "./network.js";
import { PictureError, jpegOf, pixelsOf, readPicture, reduced } from "./picture.js";
import { TaughtHead, taughtViews } from "./taught_head.js";
import { cropBox, enlarged, normalized, viewPictures, withOneView } from "./transform.js";

/** @import { Model, Pixels, Prediction } from "./types.js" */
/** @import { Embedding } from "./taught_head.js" */

const STILL_SIDE = 16, STILL = 2; // a frame is still if the brightness, 0..255, of none of its 16 × 16 cells changed by 2 or more
const HEATMAP_SIDE = 1280;

/** @type {Model} */
let model;
/** @type {import("./network.js").Network} */
let network;
/** @type {Float32Array} */
let head;
/** @type {TaughtHead | null} */
let taught = null;
/** @type {Float64Array | null} */
let previous = null;
/** @type {Float32Array | null} */
let lastCells = null;
/** The last answer, for its heatmap. @type {{ pixels: Pixels, prediction: Prediction } | null} */
let last = null;

/** @param {Pixels} pixels */
async function runNetwork(pixels) {
  const { transform, classes, temperature } = model;
  const views = viewPictures(transform, pixels);
  const { logits, features } = await network.run(normalized(transform, views));
  const size = features.length / views.length, mean = new Float32Array(size);
  for (let i = 0; i < features.length; i++) mean[i % size] += features[i] / views.length;
  return { probabilities: probabilitiesOf(logits, classes.length, temperature), features: mean };
}

const space = () => labelSpace(
  [...model.classes, ...(taught?.names ?? [])], [...model.fruit_types, ...(taught?.fruitTypes ?? [])], model.not_fruit,
);

/**
 * @param {Pixels} pixels
 * @param {Float64Array | null} before
 */
async function answer(pixels, before = null) {
  const found = await runNetwork(pixels), head = taught;
  const joined = head ? head.join(found.probabilities, found.features) : found.probabilities;
  const probabilities = smoothed(joined, before, model.smoothing);
  const prediction = predictionOf(model, space(), probabilities, (label) => head?.thresholds(model.thresholds, label) ?? model.thresholds);
  last = { pixels, prediction };
  return prediction;
}

/**
 * The mean brightness of a grid of cells, to detect motion.
 * @param {Pixels} pixels
 */
function cellsOf({ width, height, data }) {
  const cells = new Float32Array(STILL_SIDE ** 2);
  for (let y = 0; y < STILL_SIDE; y++) {
    for (let x = 0; x < STILL_SIDE; x++) {
      let sum = 0, count = 0;
      for (let row = Math.floor((y * height) / STILL_SIDE); row < Math.floor(((y + 1) * height) / STILL_SIDE); row += 2) {
        for (let column = Math.floor((x * width) / STILL_SIDE); column < Math.floor(((x + 1) * width) / STILL_SIDE); column += 2, count++) {
          sum += data[(row * width + column) * 3 + 1];
        }
      }
      cells[y * STILL_SIDE + x] = count ? sum / count : 0;
    }
  }
  return cells;
}

/** @param {Float32Array} cells */
function isStill(cells) {
  const before = lastCells;
  lastCells = cells;
  return Boolean(before) && cells.every((value, n) => Math.abs(value - /** @type {Float32Array} */ (before)[n]) < STILL);
}

/** @param {Pixels} pixels @returns {Promise<Embedding>} */
async function embed(pixels) {
  const found = await runNetwork(pixels), size = found.features.length;
  const once = withOneView(model.transform), views = taughtViews(model.taught, pixels);
  const features = new Float32Array((views.length + 1) * size);
  features.set(found.features);
  for (const [n, view] of views.entries()) {
    const { features: viewFeatures } = await network.run(normalized(once, viewPictures(once, view)));
    features.set(viewFeatures, (n + 1) * size);
  }
  return { features, probabilities: Float32Array.from(found.probabilities) };
}

/** The requests that the page may send, by name. */
const tasks = {
  /** @param {{ model: Model, base: string }} given */
  async open(given) {
    model = given.model;
    network = await openNetwork(model, new URL(given.base), (share) => postMessage({ progress: share }));
    head = await network.head(model);
    return { provider: network.provider, threads: network.threads };
  },

  /** A picture's file. @param {{ file: Blob }} given */
  async picture({ file }) {
    const pixels = await readPicture(file, model);
    return { prediction: await answer(pixels) };
  },

  /** A frame of the camera, cropped to the guide box. @param {{ frame: ImageBitmap }} given */
  async frame({ frame }) {
    const pixels = reduced(pixelsOf(frame), model.short_side, 0);
    frame.close();
    const still = isStill(cellsOf(pixels)), began = performance.now();
    const prediction = await answer(pixels, previous);
    previous = prediction.probabilities;
    return { prediction, still, ms: performance.now() - began };
  },

  /** Forget the previous frames, for another camera or view. */
  async forget() {
    previous = lastCells = null;
    return {};
  },

  /** The heatmap of the last answer, as an overlay for its picture. @param {{ width: number, height: number }} given */
  async heatmap({ width, height }) {
    if (!last) return { overlay: null };
    const { pixels, prediction } = last;
    const transform = enlarged(model.transform, model.network.zoom);
    const found = await network.run(normalized(transform, viewPictures(transform, pixels)), true);
    const shares = sharesOf(space(), prediction);
    const weight = taught ? taught.extendedWeight() : head;
    const activation = classActivation(/** @type {Float32Array} */ (found.maps), weight, shares);
    const scale = Math.min(1, HEATMAP_SIDE / Math.max(width, height));
    const across = Math.max(Math.round(width * scale), 1), down = Math.max(Math.round(height * scale), 1);
    const box = boxIn(cropBox(transform, pixels.width, pixels.height), pixels, across, down);
    const { stops, opacity } = model.heatmap;
    const colours = overlay(activation, found.columns ?? 1, box, across, down, palette(stops, opacity));
    return { overlay: await createImageBitmap(new ImageData(colours, across, down)), activation: Array.from(activation) };
  },

  /** The id, JPEG and embedding of one picture to teach. @param {{ file?: Blob, frame?: ImageBitmap }} given */
  async embed({ file, frame }) {
    const pixels = frame ? reduced(pixelsOf(frame), model.short_side, 0) : await readPicture(/** @type {Blob} */ (file), model);
    frame?.close();
    const jpeg = await jpegOf(pixels, model.taught.quality);
    return { id: await idOf(pixels), jpeg, embedding: await embed(pixels) };
  },

  /** Fit the head to all taught pictures. @param {{ examples: [string, Embedding][] }} given */
  async teach({ examples }) {
    const began = performance.now();
    taught = examples.length ? new TaughtHead(model, head, examples) : null;
    previous = null;
    return { ms: performance.now() - began };
  },
};

/**
 * Convert a box in a reduced picture to pixels of the original, of which a very long one was cropped to its middle.
 * @param {number[]} box
 * @param {Pixels} pixels
 * @param {number} width
 * @param {number} height
 */
function boxIn(box, pixels, width, height) {
  const scale = Math.min(width, height) / Math.min(pixels.width, pixels.height);
  const across = Math.max((width - pixels.width * scale) / 2, 0), down = Math.max((height - pixels.height * scale) / 2, 0);
  const [left, top, right, bottom] = box;
  return [
    Math.max(across + left * scale, 0), Math.max(down + top * scale, 0),
    Math.min(across + right * scale, width), Math.min(down + bottom * scale, height),
  ];
}

/**
 * The id of a picture, a hash of its pixels as in the app. Without https browsers do not hash, and the id is random.
 * @param {Pixels} pixels
 */
async function idOf({ width, height, data }) {
  const shape = new TextEncoder().encode(`(${height}, ${width}, 3)`);
  const both = new Uint8Array(shape.length + data.length);
  both.set(shape);
  both.set(data, shape.length);
  const digest = crypto.subtle ? await crypto.subtle.digest("SHA-256", both) : crypto.getRandomValues(new Uint8Array(32)).buffer;
  return Array.from(new Uint8Array(digest, 0, 16), (value) => value.toString(16).padStart(2, "0")).join("");
}

let queue = Promise.resolve();
self.onmessage = ({ data: { id, task, given } }) => {
  queue = queue.then(async () => {
    try {
      const result = await tasks[/** @type {keyof typeof tasks} */ (task)](given);
      postMessage({ id, result });
    } catch (error) {
      const known = error instanceof PictureError;
      postMessage({ id, error: known ? { code: error.code, facts: error.facts } : { code: "", facts: {}, message: String(error) } });
    }
  });
};
