// Antialiased bilinear resizing of 8-bit RGB, rounded as in Pillow and torch, so that the network gets the same pixels in a browser as in
// Python. The resizing of a canvas differs between browsers.

/** @import { Pixels } from "./types.js" */

/**
 * The inputs of each output, with their integer weights.
 * @typedef {{ first: Int32Array, count: Int32Array, weights: Int32Array, most: number, bits: number }} Taps
 */

const PILLOW_BITS = 22; // 32 − 8 − 2
const TORCH_BITS = 15; // of a weight, without its sign

/**
 * The taps of a triangle filter, whose width is the part of the input that one output covers, at least two pixels.
 * @param {number} input pixels
 * @param {number} end of the part to resize, which begins at 0
 * @param {number} output pixels
 * @param {boolean} torch
 * @returns {Taps}
 */
function taps(input, end, output, torch) {
  const scale = end / output, width = Math.max(scale, 1);
  const most = Math.ceil(width) * 2 + 1;
  const first = new Int32Array(output), count = new Int32Array(output);
  const exact = new Float64Array(output * most);
  let largest = 0;
  for (let i = 0; i < output; i++) {
    const center = (i + 0.5) * scale;
    const low = Math.max(Math.trunc(center - width + 0.5), 0);
    const high = Math.min(Math.trunc(center + width + 0.5), input);
    first[i] = low;
    count[i] = high - low;
    let total = 0;
    for (let j = 0; j < high - low; j++) {
      const weight = Math.max(1 - Math.abs((j + low - center + 0.5) / width), 0);
      exact[i * most + j] = weight;
      total += weight;
    }
    for (let j = 0; j < high - low; j++) {
      exact[i * most + j] /= total;
      largest = Math.max(largest, exact[i * most + j]);
    }
  }
  let bits = PILLOW_BITS;
  if (torch) { // the highest precision that fits into 16 bits
    bits = 0;
    while (bits < PILLOW_BITS && Math.trunc(0.5 + largest * 2 ** (bits + 1)) < 2 ** TORCH_BITS) bits++;
  }
  const weights = new Int32Array(exact.length);
  for (let i = 0; i < exact.length; i++) weights[i] = Math.trunc(exact[i] * 2 ** bits + 0.5);
  return { first, count, weights, most, bits };
}

/** @param {number} value */
const byte = (value) => (value < 0 ? 0 : value > 255 ? 255 : value);

/**
 * @param {Pixels} from
 * @param {Taps} across
 * @param {number} width
 * @returns {Pixels}
 */
function horizontally(from, across, width) {
  const { first, count, weights, most, bits } = across, { height, data } = from;
  const result = new Uint8Array(width * height * 3), half = 1 << (bits - 1);
  for (let y = 0, at = 0; y < height; y++) {
    const row = y * from.width * 3;
    for (let x = 0; x < width; x++, at += 3) {
      let red = half, green = half, blue = half, source = row + first[x] * 3;
      for (let j = x * most, end = j + count[x]; j < end; j++, source += 3) {
        const weight = weights[j];
        red += data[source] * weight;
        green += data[source + 1] * weight;
        blue += data[source + 2] * weight;
      }
      result[at] = byte(red >> bits);
      result[at + 1] = byte(green >> bits);
      result[at + 2] = byte(blue >> bits);
    }
  }
  return { width, height, data: result };
}

/**
 * @param {Pixels} from
 * @param {Taps} down
 * @param {number} height
 * @returns {Pixels}
 */
function vertically(from, down, height) {
  const { first, count, weights, most, bits } = down, stride = from.width * 3;
  const result = new Uint8Array(stride * height), sums = new Int32Array(stride), half = 1 << (bits - 1);
  for (let y = 0; y < height; y++) {
    sums.fill(half);
    for (let j = 0; j < count[y]; j++) {
      const weight = weights[y * most + j], row = (first[y] + j) * stride;
      for (let x = 0; x < stride; x++) sums[x] += from.data[row + x] * weight;
    }
    for (let x = 0, at = y * stride; x < stride; x++, at++) result[at] = byte(sums[x] >> bits);
  }
  return { width: from.width, height, data: result };
}

/**
 * Pillow's `resize(size, BILINEAR)`, or torch's `interpolate(mode="bilinear", antialias=True)` of uint8.
 * @param {Pixels} from
 * @param {number} width
 * @param {number} height
 * @param {{ torch?: boolean, right?: number, bottom?: number }} [how] `right`, `bottom`: the end of the part to resize
 * @returns {Pixels}
 */
export function resize(from, width, height, { torch = false, right = from.width, bottom = from.height } = {}) {
  let made = from;
  if (width !== from.width || right !== from.width) made = horizontally(made, taps(from.width, right, width, torch), width);
  if (height !== from.height || bottom !== from.height) made = vertically(made, taps(from.height, bottom, height, torch), height);
  return made;
}

/**
 * Pillow's `reduce`: means of blocks, smaller ones at the right and bottom edges.
 * @param {Pixels} from
 * @param {number} across
 * @param {number} down
 * @returns {Pixels}
 */
export function reduce(from, across, down) {
  const width = Math.ceil(from.width / across), height = Math.ceil(from.height / down);
  const result = new Uint8Array(width * height * 3);
  for (let y = 0, at = 0; y < height; y++) {
    const bottom = Math.min((y + 1) * down, from.height);
    for (let x = 0; x < width; x++, at += 3) {
      const right = Math.min((x + 1) * across, from.width);
      const size = (right - x * across) * (bottom - y * down), factor = Math.floor(2 ** 24 / size);
      let red = size >> 1, green = size >> 1, blue = size >> 1;
      for (let row = y * down; row < bottom; row++) {
        for (let source = (row * from.width + x * across) * 3, end = (row * from.width + right) * 3; source < end; source += 3) {
          red += from.data[source];
          green += from.data[source + 1];
          blue += from.data[source + 2];
        }
      }
      result[at] = Math.floor((red * factor) / 2 ** 24);
      result[at + 1] = Math.floor((green * factor) / 2 ** 24);
      result[at + 2] = Math.floor((blue * factor) / 2 ** 24);
    }
  }
  return { width, height, data: result };
}

/**
 * A rectangle of a picture.
 * @param {Pixels} from
 * @param {number} left
 * @param {number} top
 * @param {number} width
 * @param {number} height
 * @returns {Pixels}
 */
export function crop(from, left, top, width, height) {
  if (left === 0 && top === 0 && width === from.width && height === from.height) return from;
  const data = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++) {
    const start = ((top + y) * from.width + left) * 3;
    data.set(from.data.subarray(start, start + width * 3), y * width * 3);
  }
  return { width, height, data };
}

/**
 * The picture flipped horizontally.
 * @param {Pixels} from
 * @returns {Pixels}
 */
export function mirrored(from) {
  const { width, height } = from, data = new Uint8Array(from.data.length);
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = width - 1; x >= 0; x--, at += 3) {
      const source = (y * width + x) * 3;
      data[at] = from.data[source];
      data[at + 1] = from.data[source + 1];
      data[at + 2] = from.data[source + 2];
    }
  }
  return { width, height, data };
}

/**
 * Python's `cap_short_side`: reduce the short side to at most `most` pixels, and crop a very long picture to its middle.
 * @param {Pixels} picture
 * @param {number} most
 * @returns {Pixels}
 */
export function capShortSide(picture, most) {
  const side = Math.min(picture.width, picture.height), longest = 4 * Math.max(side, most);
  if (Math.max(picture.width, picture.height) > longest) {
    const left = Math.floor(Math.max(0, picture.width - longest) / 2), top = Math.floor(Math.max(0, picture.height - longest) / 2);
    picture = crop(picture, left, top, Math.min(picture.width, longest), Math.min(picture.height, longest));
  }
  if (side <= most) return picture;
  const width = Math.floor((picture.width * most) / side), height = Math.floor((picture.height * most) / side);
  // Pillow's reducing_gap=3: a first step by whole blocks keeps three times the size.
  const across = Math.trunc(picture.width / width / 3) || 1, down = Math.trunc(picture.height / height / 3) || 1;
  const right = picture.width / across, bottom = picture.height / down;
  const reduced = across > 1 || down > 1 ? reduce(picture, across, down) : picture;
  return resize(reduced, width, height, { right, bottom });
}

/**
 * Reduce a picture as a JPEG decoder does for a scale of 1/2, 1/4 or 1/8, by dropping the high frequencies of each block of 8 × 8.
 * Python's decoder does it while decoding; here the decoded blocks are transformed to frequencies and back.
 * @param {Pixels} from
 * @param {number} by 2, 4 or 8
 * @returns {Pixels}
 */
export function reduceJpeg(from, by) {
  if (by === 8) return reduce(from, 8, 8);
  const kernel = blockKernel(8 / by);
  return transposed(reduceRows(transposed(reduceRows(from, by, kernel)), by, kernel));
}

/**
 * (size × 8): eight samples → their cosine transform → its first `size` coefficients → back to as many samples.
 * @param {number} size
 */
function blockKernel(size) {
  const kernel = new Float32Array(size * 8);
  for (let i = 0; i < size; i++) {
    for (let j = 0; j < 8; j++) {
      let sum = 0;
      for (let k = 0; k < size; k++) {
        sum += (k ? 2 : 1) * Math.cos(((2 * i + 1) * k * Math.PI) / (2 * size)) * Math.cos(((2 * j + 1) * k * Math.PI) / 16);
      }
      kernel[i * 8 + j] = sum / 8;
    }
  }
  return kernel;
}

/**
 * @param {Pixels} from
 * @param {number} by
 * @param {Float32Array} kernel
 * @returns {Pixels}
 */
function reduceRows(from, by, kernel) {
  const size = 8 / by, width = Math.ceil(from.width / by), last = from.width - 1;
  const data = new Uint8Array(width * from.height * 3);
  for (let y = 0, at = 0; y < from.height; y++) {
    const row = y * from.width;
    for (let x = 0; x < width; x++, at += 3) {
      const start = Math.floor(x / size) * 8, line = (x % size) * 8;
      let red = 0.5, green = 0.5, blue = 0.5;
      for (let j = 0; j < 8; j++) {
        const source = (row + Math.min(start + j, last)) * 3, weight = kernel[line + j];
        red += from.data[source] * weight;
        green += from.data[source + 1] * weight;
        blue += from.data[source + 2] * weight;
      }
      data[at] = byte(Math.floor(red));
      data[at + 1] = byte(Math.floor(green));
      data[at + 2] = byte(Math.floor(blue));
    }
  }
  return { width, height: from.height, data };
}

/**
 * The picture transposed.
 * @param {Pixels} from
 * @returns {Pixels}
 */
function transposed(from) {
  const { width, height } = from, data = new Uint8Array(from.data.length);
  for (let y = 0, source = 0; y < height; y++) {
    for (let x = 0, at = y * 3; x < width; x++, source += 3, at += height * 3) {
      data[at] = from.data[source];
      data[at + 1] = from.data[source + 1];
      data[at + 2] = from.data[source + 2];
    }
  }
  return { width: height, height: width, data };
}
