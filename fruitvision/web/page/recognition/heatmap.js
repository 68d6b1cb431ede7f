// Class activation maps, computed and coloured as in fruitvision/recognition/heatmap.py.

/**
 * How much each position contributes to an answer: (rows × columns), of any sign and scale.
 * @param {Float32Array} maps (F, rows, columns), before the pooling
 * @param {Float32Array} weight (C, F), of the last layer and of the taught classes
 * @param {ArrayLike<number>} shares (C), of sum 1
 */
export function classActivation(maps, weight, shares) {
  const classes = shares.length, features = weight.length / classes, cells = maps.length / features;
  const weighted = new Float64Array(features);
  for (let c = 0; c < classes; c++) {
    const factor = shares[c] - 1 / classes; // the mean of all classes' weights is subtracted
    for (let f = 0; f < features; f++) weighted[f] += factor * weight[c * features + f];
  }
  const activation = new Float64Array(cells);
  for (let f = 0; f < features; f++) {
    for (let i = 0; i < cells; i++) activation[i] += weighted[f] * maps[f * cells + i];
  }
  return activation;
}

/**
 * Scale numbers linearly to bytes, the lowest to 0 and the highest to 255; constant values become 255.
 * @param {Float64Array} activation
 */
export function scaled(activation) {
  let low = Infinity, high = -Infinity;
  for (const value of activation) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  const flat = high - low <= 1e-9 * Math.max(Math.abs(low), 1);
  return Uint8Array.from(activation, (value) => (flat ? 255 : Math.round(((value - low) / (high - low)) * 255)));
}

/**
 * Bicubic upsampling (a = −0.5, as Pillow's).
 * @param {Uint8Array} values (rows × columns)
 * @param {number} columns
 * @param {number} width
 * @param {number} height
 */
export function enlarge(values, columns, width, height) {
  const rows = values.length / columns, across = cubic(columns, width), down = cubic(rows, height);
  const middle = new Float64Array(rows * width), result = new Uint8Array(width * height);
  for (let y = 0; y < rows; y++) {
    for (let x = 0; x < width; x++) {
      let sum = 0;
      for (const [from, weight] of across[x]) sum += values[y * columns + from] * weight;
      middle[y * width + x] = Math.min(Math.max(Math.round(sum), 0), 255);
    }
  }
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      let sum = 0;
      for (const [from, weight] of down[y]) sum += middle[from * width + x] * weight;
      result[y * width + x] = Math.min(Math.max(Math.round(sum), 0), 255);
    }
  }
  return result;
}

/**
 * @param {number} input
 * @param {number} output
 * @returns {[number, number][][]}
 */
function cubic(input, output) {
  const scale = input / output, width = Math.max(scale, 1), reach = 2 * width;
  return Array.from({ length: output }, (_, i) => {
    const center = (i + 0.5) * scale;
    const low = Math.max(Math.trunc(center - reach + 0.5), 0), high = Math.min(Math.trunc(center + reach + 0.5), input);
    /** @type {[number, number][]} */
    const found = [];
    let total = 0;
    for (let j = low; j < high; j++) {
      const x = Math.abs((j - center + 0.5) / width);
      const weight = x < 1 ? (1.5 * x - 2.5) * x * x + 1 : x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
      found.push([j, weight]);
      total += weight;
    }
    return found.map(([j, weight]) => [j, weight / total]);
  });
}

/**
 * The RGBA colour of each level, for an overlay on the picture.
 * @param {number[][]} stops
 * @param {number[]} opacity at the lowest and the highest level
 */
export function palette(stops, opacity) {
  const colours = new Uint8ClampedArray(256 * 4), low = Math.round(255 * opacity[0]), high = Math.round(255 * opacity[1]);
  for (let level = 0; level < 256; level++) {
    const place = (level / 255) * (stops.length - 1), first = Math.min(Math.floor(place), stops.length - 2), rest = place - first;
    for (let c = 0; c < 3; c++) colours[level * 4 + c] = Math.round(stops[first][c] * (1 - rest) + stops[first + 1][c] * rest);
    colours[level * 4 + 3] = low + Math.floor(((high - low) * level) / 255);
  }
  return colours;
}

/**
 * The overlay for a picture of width × height, in RGBA; outside of the network's input the level is 0.
 * @param {Float64Array} activation
 * @param {number} columns
 * @param {number[]} box left, top, right, bottom in the picture
 * @param {number} width
 * @param {number} height
 * @param {Uint8ClampedArray} colours
 */
export function overlay(activation, columns, box, width, height, colours) {
  const [left, top, right, bottom] = box.map(Math.round);
  const across = Math.max(right - left, 1), down = Math.max(bottom - top, 1);
  const levels = enlarge(scaled(activation), columns, across, down);
  const pixels = new Uint8ClampedArray(width * height * 4);
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at += 4) {
      const inside = x >= left && x < left + across && y >= top && y < top + down;
      const level = inside ? levels[(y - top) * across + x - left] : 0;
      for (let c = 0; c < 4; c++) pixels[at + c] = colours[level * 4 + c];
    }
  }
  return pixels;
}
