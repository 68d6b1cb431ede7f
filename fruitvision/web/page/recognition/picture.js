// Decodes pictures with the browser's decoders, as in training: upright, RGB on white, the short side at most 256 pixels.

import { capShortSide, reduceJpeg } from "./resize.js";

/** @import { Model, Pixels } from "./types.js" */

/** A picture that cannot be read: `code` is the key of the error message. */
export class PictureError extends Error {
  /** @param {string} code @param {Record<string, string>} [facts] */
  constructor(code, facts = {}) {
    super(code);
    this.code = code;
    this.facts = facts;
  }
}

/** @type {OffscreenCanvas | undefined} */
let canvas;

/**
 * The pixels of a bitmap; transparent ones are blended with white.
 * @param {ImageBitmap} bitmap
 * @returns {Pixels}
 */
export function pixelsOf(bitmap) {
  const { width, height } = bitmap;
  canvas ??= new OffscreenCanvas(width, height);
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  const pen = canvas.getContext("2d", { willReadFrequently: true, colorSpace: "srgb" });
  if (!pen) throw new PictureError("picture-damaged");
  pen.fillStyle = "#fff";
  pen.fillRect(0, 0, width, height);
  pen.drawImage(bitmap, 0, 0);
  const rgba = pen.getImageData(0, 0, width, height, { colorSpace: "srgb" }).data;
  const data = new Uint8Array(width * height * 3);
  for (let from = 0, to = 0; to < data.length; from += 4, to += 3) {
    data[to] = rgba[from];
    data[to + 1] = rgba[from + 1];
    data[to + 2] = rgba[from + 2];
  }
  return { width, height, data };
}

/**
 * Decode a file, and reduce the picture as Python does. Rejects with PictureError.
 * @param {Blob} file
 * @param {Pick<Model, "short_side" | "draft_side" | "max_pixels" | "max_bytes">} limits
 * @returns {Promise<Pixels>}
 */
export async function readPicture(file, limits) {
  const picture = file instanceof File ? file.name : "";
  if (!file.size) throw new PictureError("picture-empty", { picture });
  if (file.size > limits.max_bytes) throw tooLarge(picture, `${Math.round(file.size / 2 ** 20)} MB`, `${limits.max_bytes / 2 ** 20} MB`);
  const start = new Uint8Array(await file.slice(0, 3).arrayBuffer());
  const jpeg = start[0] === 0xff && start[1] === 0xd8 && start[2] === 0xff;
  let bitmap;
  try {
    // Without colour conversion: Python's decoder does not apply colour profiles either.
    bitmap = await createImageBitmap(file, { imageOrientation: "from-image", colorSpaceConversion: "none" });
  } catch {
    throw new PictureError("picture-damaged", { picture });
  }
  try {
    if (bitmap.width * bitmap.height > limits.max_pixels) {
      throw tooLarge(picture, `${bitmap.width}×${bitmap.height} px`, `${limits.max_pixels / 1e6} MP`);
    }
    return reduced(pixelsOf(bitmap), limits.short_side, jpeg ? limits.draft_side : 0);
  } finally {
    bitmap.close();
  }
}

/**
 * @param {Pixels} pixels
 * @param {number} shortSide
 * @param {number} draftSide for a JPEG, which Python's decoder reduces first; 0 for any other picture
 */
export function reduced(pixels, shortSide, draftSide) {
  const room = draftSide ? Math.floor(Math.min(pixels.width, pixels.height) / draftSide) : 0;
  const by = [8, 4, 2].find((scale) => room >= scale);
  return capShortSide(by ? reduceJpeg(pixels, by) : pixels, shortSide);
}

/** @param {string} picture @param {string} size @param {string} limit */
const tooLarge = (picture, size, limit) => new PictureError("picture-too-large", { picture, size, limit });

/**
 * Pixels as a JPEG, the format in which taught pictures are stored.
 * @param {Pixels} pixels
 * @param {number} quality
 * @returns {Promise<Blob>}
 */
export function jpegOf(pixels, quality) {
  const made = new OffscreenCanvas(pixels.width, pixels.height), pen = made.getContext("2d");
  const rgba = new Uint8ClampedArray(pixels.width * pixels.height * 4).fill(255);
  for (let from = 0, to = 0; from < pixels.data.length; from += 3, to += 4) rgba.set(pixels.data.subarray(from, from + 3), to);
  pen?.putImageData(new ImageData(rgba, pixels.width, pixels.height), 0, 0);
  return made.convertToBlob({ type: "image/jpeg", quality });
}
