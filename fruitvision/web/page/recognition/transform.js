// The evaluation transform: from a picture to the network's input, as in fruitvision/data/augment/transforms.py.

import { crop, mirrored, resize } from "./resize.js";

/** @import { Pixels, Transform } from "./types.js" */

const WHITE = 232, BORDER_SHARE = 0.5;

/**
 * Python's `round`: halves are rounded to even.
 * @param {number} value
 */
export function round(value) {
  const low = Math.floor(value), rest = value - low;
  if (rest !== 0.5) return Math.round(value);
  return low % 2 === 0 ? low : low + 1;
}

/**
 * The number of views of one picture.
 * @param {Transform} transform
 */
export const viewsOf = (transform) => transform.views * transform.scales.length;

/**
 * The same transform with one view.
 * @param {Transform} transform
 * @returns {Transform}
 */
export const withOneView = (transform) => ({ ...transform, views: 1, scales: [1], white_mirrored: false });

/**
 * The transform with one view, of the same part of a picture, enlarged by `zoom`.
 * @param {Transform} transform
 * @param {number} zoom
 * @returns {Transform}
 */
export const enlarged = (transform, zoom) => ({
  ...withOneView(transform), resize: transform.resize * zoom, crop: transform.crop * zoom,
});

/**
 * @param {Transform} transform
 * @param {number} width
 * @param {number} height
 */
function geometry(transform, width, height) {
  const side = transform.resize;
  const size = height <= width
    ? { width: Math.max(Math.trunc((side * width) / height), side), height: side }
    : { width: side, height: Math.max(Math.trunc((side * height) / width), side) };
  return { ...size, left: round((size.width - transform.crop) / 2), top: round((size.height - transform.crop) / 2) };
}

/**
 * The part of the picture that the network sees: left, top, right, bottom, in pixels.
 * @param {Transform} transform
 * @param {number} width
 * @param {number} height
 */
export function cropBox(transform, width, height) {
  const size = geometry(transform, width, height), across = width / size.width, down = height / size.height;
  return [size.left * across, size.top * down, (size.left + transform.crop) * across, (size.top + transform.crop) * down];
}

/**
 * @param {Transform} transform
 * @param {Pixels} picture
 */
function cropped(transform, picture) {
  const { width, height, left, top } = geometry(transform, picture.width, picture.height);
  const resized = resize(picture, width, height, { torch: true });
  return crop(resized, left, top, Math.min(transform.crop, width - left), Math.min(transform.crop, height - top));
}

/**
 * Whether a picture has a white background, by its border.
 * @param {Pixels} picture
 */
export function hasWhiteBackground({ width, height, data }) {
  /** @param {number} x @param {number} y */
  const white = (x, y) => {
    const at = (y * width + x) * 3;
    return data[at] >= WHITE && data[at + 1] >= WHITE && data[at + 2] >= WHITE ? 1 : 0;
  };
  let found = 0;
  for (let x = 0; x < width; x++) found += white(x, 0) + white(x, height - 1);
  for (let y = 0; y < height; y++) found += white(0, y) + white(width - 1, y);
  return found / (2 * (width + height)) >= BORDER_SHARE;
}

/**
 * The views of a picture, each crop × crop.
 * @param {Transform} transform
 * @param {Pixels} picture
 * @returns {Pixels[]}
 */
export function viewPictures(transform, picture) {
  const first = cropped(transform, picture);
  let views = [first];
  if (transform.scales.length > 1 && transform.white_mirrored && hasWhiteBackground(picture)) {
    const mirror = mirrored(first);
    views = transform.scales.map((_, n) => (n % 2 ? mirror : first));
  } else {
    for (const scale of transform.scales.slice(1)) {
      const [left, top, right, bottom] = cropBox(transform, picture.width, picture.height);
      const across = ((right - left) * (1 - scale)) / 2, down = ((bottom - top) * (1 - scale)) / 2;
      const x0 = round(left + across), y0 = round(top + down), x1 = round(right - across), y1 = round(bottom - down);
      const part = crop(picture, x0, y0, Math.max(x1, x0 + 1) - x0, Math.max(y1, y0 + 1) - y0);
      views.push(resize(part, transform.crop, transform.crop, { torch: true }));
    }
  }
  return transform.views === 2 ? views.flatMap((view) => [view, mirrored(view)]) : views;
}

/**
 * The network's input: (views, 3, crop, crop), normalized.
 * @param {Transform} transform
 * @param {Pixels[]} views
 * @returns {{ data: Float32Array, dims: number[] }}
 */
export function normalized(transform, views) {
  const side = transform.crop, plane = side * side, data = new Float32Array(views.length * 3 * plane);
  views.forEach((view, number) => {
    for (let channel = 0; channel < 3; channel++) {
      const scale = 1 / (255 * transform.std[channel]), shift = -transform.mean[channel] / transform.std[channel];
      const start = (number * 3 + channel) * plane;
      for (let i = 0, source = channel; i < plane; i++, source += 3) data[start + i] = view.data[source] * scale + shift;
    }
  });
  return { data, dims: [views.length, 3, side, side] };
}
