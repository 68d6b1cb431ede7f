// The taught classes, added to the network's own: the head of fruitvision/recognition/taught_head.py, where it is explained. A gate
// estimates whether a picture shows any of them, and a ridge classifier which one.

import { crop, mirrored } from "./resize.js";

/** @import { Model, Pixels, Thresholds } from "./types.js" */

/**
 * The network's outputs for one taught picture: features of its views, (views × F), the first of which is the picture as it is
 * classified, and probabilities by class.
 * @typedef {{ features: Float32Array, probabilities: Float32Array }} Embedding
 */

/**
 * The augmented views that are embedded beside the picture: its center, its mirror image, and darker and brighter copies.
 * @param {Model["taught"]} numbers
 * @param {Pixels} picture
 * @returns {Pixels[]}
 */
export function taughtViews(numbers, picture) {
  const { width, height } = picture;
  const top = roundHalfEven((height * (1 - numbers.center)) / 2), left = roundHalfEven((width * (1 - numbers.center)) / 2);
  const center = crop(picture, left, top, Math.max(width - left, left + 1) - left, Math.max(height - top, top + 1) - top);
  const light = [numbers.darker, numbers.brighter].map((gain) => ({
    width, height, data: Uint8Array.from(picture.data, (value) => Math.min(Math.fround(value * Math.fround(gain)), 255)),
  }));
  return [center, mirrored(picture), ...light];
}

/** @param {number} value */
function roundHalfEven(value) {
  const low = Math.floor(value), rest = value - low;
  return rest < 0.5 || (rest === 0.5 && low % 2 === 0) ? low : low + 1;
}

export class TaughtHead {
  /**
   * @param {Model} model
   * @param {Float32Array} weight (C, F), of the network's last layer
   * @param {[string, Embedding][]} examples a name and embedding for each picture
   */
  constructor(model, weight, examples) {
    const { classes, fruit_types: types, taught: numbers } = model;
    this.numbers = numbers;
    this.names = [...new Set(examples.map(([name]) => name))];
    const known = new Map([...classes.map((name, n) => /** @type {[string, string]} */ ([name, types[n]])),
      ...types.map((name) => /** @type {[string, string]} */ ([name, name]))]);
    this.notFruit = model.not_fruit;
    this.fruitTypes = this.names.map((name) => (numbers.no_fruit_names.includes(name) ? model.not_fruit : known.get(name) ?? name));
    this.classes = classes.length;
    this.size = weight.length / classes.length;
    this.weight = weight;
    const kinds = [...new Set(types)];
    this.kinds = kinds.length;
    this.kindOf = types.map((name) => kinds.indexOf(name));
    this.head = centred(weight, this.classes, this.size);
    this.nameOf = examples.map(([name]) => this.names.indexOf(name));
    this.counts = this.names.map((_, n) => this.nameOf.filter((name) => name === n).length);
    const views = examples.map(([, { features }]) => rowsOf(features, this.size));
    this.features = views.map((rows) => unit(mean(rows.map(unit))));
    this.responses = views.map((rows) => unit(mean(rows.map((row) => this.response(row)))));
    this.types = examples.map(([, { probabilities }]) => this.roots(probabilities));
    this.known = this.fruitTypes.map((name) => kinds.indexOf(name));
    this.own = this.known.map((kind, n) => (kind < 0 ? 0 : mean(this.of(n).map((i) => [this.byKind(examples[i][1].probabilities)[kind]]))[0]));
    this.kin = this.names.map((_, n) => this.similarityWithin(views, n));
    const most = Math.max(Math.floor(numbers.max_rows / examples.length), 1);
    const chosen = views.map((rows) => rows.slice(0, most).map(unit));
    const labels = chosen.flatMap((rows, n) => rows.map(() => this.nameOf[n]));
    const { matrix, bias } = ridge(chosen.flat(), labels, this.names.length, numbers.ridge);
    this.matrix = matrix;
    this.bias = bias;
  }

  /**
   * The network's probabilities (C) and features (F) → probabilities (C + T), those of the T taught names last.
   * @param {Float64Array} probabilities
   * @param {ArrayLike<number>} features
   */
  join(probabilities, features) {
    const gate = this.gate(probabilities, features), direction = unit(features), count = this.names.length;
    const scores = Array.from(this.bias);
    for (let f = 0; f < this.size; f++) for (let t = 0; t < count; t++) scores[t] += direction[f] * this.matrix[f * count + t];
    const most = Math.max(...scores), raised = scores.map((score) => Math.exp(this.numbers.sharpness * (score - most)));
    const total = raised.reduce((sum, value) => sum + value, 0);
    const joined = new Float64Array(this.classes + count);
    for (let c = 0; c < this.classes; c++) joined[c] = (1 - gate) * probabilities[c];
    raised.forEach((value, t) => { joined[this.classes + t] = (gate * value) / total; });
    return joined;
  }

  /**
   * (C + T, F): the last layer's weight, followed by the mean features of each taught name, for heatmaps.
   */
  extendedWeight() {
    let length = 0;
    for (let c = 0; c < this.classes; c++) length += norm(this.weight.subarray(c * this.size, (c + 1) * this.size)) / this.classes;
    const extended = new Float32Array((this.classes + this.names.length) * this.size);
    extended.set(this.weight);
    this.names.forEach((_, n) => {
      const direction = unit(mean(this.features.filter((_, i) => this.nameOf[i] === n)));
      extended.set(direction.map((value) => value * length), (this.classes + n) * this.size);
    });
    return extended;
  }

  /**
   * The network's thresholds, adjusted for an answer `label`.
   * @param {Thresholds} base
   * @param {string} label
   * @returns {Thresholds}
   */
  thresholds(base, label) {
    const { unsure, not_fruit: notFruit } = base, name = this.names.indexOf(label);
    const sure = this.counts[name] < this.numbers.sure_count ? 1 : Math.min(unsure, this.numbers.sure);
    return {
      not_fruit: this.fruitTypes.includes(this.notFruit) ? Math.min(notFruit, 0.5) : notFruit,
      unsure: name < 0 ? unsure : sure,
    };
  }

  /**
   * The probability that a picture shows one of the taught classes.
   * @param {ArrayLike<number>} probabilities
   * @param {ArrayLike<number>} features
   */
  gate(probabilities, features) {
    const { gate, gate_bias: bias, shut, min_count: low, max_count: high } = this.numbers;
    const responses = this.nearest(this.responses, this.response(features));
    const like = this.nearest(this.features, unit(features));
    const types = this.nearest(this.types, this.roots(probabilities));
    let best = 0;
    for (let n = 1; n < this.names.length; n++) if (responses[n] + like[n] > responses[best] + like[best]) best = n;
    const kind = this.known[best];
    const own = kind < 0 ? 0 : Math.min(Math.log((this.byKind(probabilities)[kind] + 0.01) / (this.own[best] + 0.01)), 0);
    const odds = gate.responses * responses[best] + gate.features * like[best] + gate.types * Math.log(types[best] + 0.01)
      + gate.apart * (this.kin[best] - like[best]) + gate.own * own
      + gate.pictures * Math.log(Math.min(Math.max(this.counts[best], low), high)) + gate.names * Math.log(this.names.length);
    const found = 1 / (1 + Math.exp(-odds - bias));
    return found < shut ? 0 : found;
  }

  /** The indices of a name's pictures. @param {number} name */
  of(name) {
    return this.nameOf.flatMap((other, i) => (other === name ? [i] : []));
  }

  /**
   * The mean similarity of a name's pictures to the nearest third of its others; for a single picture, to its views.
   * @param {Float32Array[][]} views
   * @param {number} name
   */
  similarityWithin(views, name) {
    const pictures = this.of(name);
    if (pictures.length === 1) {
      const [first, ...more] = views[pictures[0]].map(unit);
      return dot(first, unit(mean(more))) - this.numbers.alone;
    }
    const most = Math.max(Math.ceil((pictures.length - 1) / 3), 1);
    const means = pictures.map((i) => pictures.filter((j) => j !== i).map((j) => dot(this.features[i], this.features[j])).sort((a, b) => b - a)
      .slice(0, most).reduce((sum, value) => sum + value, 0) / most);
    return means.reduce((sum, value) => sum + value, 0) / means.length;
  }

  /**
   * The mean similarity to the nearest third of each name's pictures.
   * @param {Float64Array[]} examples
   * @param {Float64Array} one
   */
  nearest(examples, one) {
    const similarity = examples.map((row) => dot(row, one));
    return this.counts.map((count, n) => {
      const similarities = similarity.filter((_, i) => this.nameOf[i] === n).sort((a, b) => b - a);
      const most = Math.max(Math.ceil(count / 3), 1);
      return similarities.slice(0, most).reduce((sum, value) => sum + value, 0) / most;
    });
  }

  /**
   * Features → the unit vector (C) of their logits, without biases, and centred over the classes.
   * @param {ArrayLike<number>} features
   */
  response(features) {
    const logits = new Float64Array(this.classes);
    for (let c = 0; c < this.classes; c++) {
      let sum = 0;
      for (let f = 0, at = c * this.size; f < this.size; f++, at++) sum += this.head[at] * features[f];
      logits[c] = sum;
    }
    const middle = logits.reduce((sum, value) => sum + value, 0) / this.classes;
    return unit(logits.map((value) => value - middle));
  }

  /** @param {ArrayLike<number>} probabilities */
  byKind(probabilities) {
    const sums = new Float64Array(this.kinds);
    for (let c = 0; c < this.classes; c++) sums[this.kindOf[c]] += probabilities[c];
    return sums;
  }

  /**
   * Square roots of the probabilities by fruit type, whose inner products are Bhattacharyya coefficients.
   * @param {ArrayLike<number>} probabilities
   */
  roots(probabilities) {
    return this.byKind(probabilities).map((sum) => Math.sqrt(Math.max(sum, 0)));
  }
}

/**
 * Closed-form ridge regression onto the names, each weighted equally: matrix (F, T) and bias (T). Solved in the primal or the
 * dual, whichever is smaller.
 * @param {Float64Array[]} rows
 * @param {number[]} labels
 * @param {number} names
 * @param {number} strength
 */
function ridge(rows, labels, names, strength) {
  const size = rows[0].length, counts = new Float64Array(names);
  for (const label of labels) counts[label] += 1;
  const shares = labels.map((label) => 1 / (names * counts[label]));
  const centre = new Float64Array(size), middle = new Float64Array(names).fill(1 / names);
  rows.forEach((row, i) => { for (let f = 0; f < size; f++) centre[f] += shares[i] * row[f]; });
  const x = rows.map((row, i) => row.map((value, f) => (value - centre[f]) * Math.sqrt(shares[i])));
  const y = labels.map((label, i) => Float64Array.from(middle, (m, t) => ((t === label ? 1 : 0) - m) * Math.sqrt(shares[i])));
  const wide = x.length > size;
  const vectors = wide ? transposed(x) : x;
  const gram = vectors.map((a, i) => Float64Array.from(vectors, (b, j) => (j <= i ? dot(a, b) : 0)));
  const trace = gram.reduce((sum, row, i) => sum + row[i], 0);
  gram.forEach((row, i) => { row[i] += (strength * trace) / labels.length + 1e-6; });
  /** @type {(a: Float64Array[]) => Float64Array[]} XᵀA */
  const back = (a) => Array.from({ length: size }, (_, f) => {
    const sum = new Float64Array(names);
    for (let i = 0; i < x.length; i++) for (let t = 0; t < names; t++) sum[t] += x[i][f] * a[i][t];
    return sum;
  });
  const solved = wide ? solve(gram, back(y)) : back(solve(gram, y));
  const matrix = new Float64Array(size * names), bias = Float64Array.from(middle);
  solved.forEach((row, f) => row.forEach((value, t) => {
    matrix[f * names + t] = value;
    bias[t] -= centre[f] * value;
  }));
  return { matrix, bias };
}

/**
 * Solve a positive definite system by Cholesky decomposition; only the lower half of `matrix` is read, and it is overwritten.
 * @param {Float64Array[]} matrix
 * @param {Float64Array[]} right (n × T)
 * @returns {Float64Array[]}
 */
function solve(matrix, right) {
  const n = matrix.length, width = right[0].length, found = right.map((row) => Float64Array.from(row));
  for (let i = 0; i < n; i++) {
    const row = matrix[i];
    for (let j = 0; j <= i; j++) {
      let sum = row[j];
      for (let k = 0; k < j; k++) sum -= row[k] * matrix[j][k];
      row[j] = i === j ? Math.sqrt(sum) : sum / matrix[j][j];
    }
  }
  for (let t = 0; t < width; t++) {
    for (let i = 0; i < n; i++) {
      for (let k = 0; k < i; k++) found[i][t] -= matrix[i][k] * found[k][t];
      found[i][t] /= matrix[i][i];
    }
    for (let i = n - 1; i >= 0; i--) {
      for (let k = i + 1; k < n; k++) found[i][t] -= matrix[k][i] * found[k][t];
      found[i][t] /= matrix[i][i];
    }
  }
  return found;
}

/** @param {Float64Array[]} rows */
function transposed(rows) {
  return Array.from({ length: rows[0].length }, (_, f) => Float64Array.from(rows, (row) => row[f]));
}

/** @param {Float32Array} flat @param {number} size */
function rowsOf(flat, size) {
  return Array.from({ length: flat.length / size }, (_, n) => flat.subarray(n * size, (n + 1) * size));
}

/** @param {ArrayLike<number>[]} rows */
function mean(rows) {
  const sum = new Float64Array(rows[0].length);
  for (const row of rows) for (let i = 0; i < sum.length; i++) sum[i] += row[i] / rows.length;
  return sum;
}

/** @param {Float32Array} weight @param {number} classes @param {number} size */
function centred(weight, classes, size) {
  const middle = mean(rowsOf(weight, size));
  return Float64Array.from(weight, (value, i) => value - middle[i % size]);
}

/** @param {ArrayLike<number>} row */
function norm(row) {
  let sum = 0;
  for (let i = 0; i < row.length; i++) sum += row[i] * row[i];
  return Math.sqrt(sum);
}

/** @param {ArrayLike<number>} row */
function unit(row) {
  const length = Math.max(norm(row), 1e-12);
  return Float64Array.from(row, (value) => value / length);
}

/** @param {Float64Array} a @param {Float64Array} b */
function dot(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}
