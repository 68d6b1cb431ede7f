// From logits to an answer: temperature, fruit types, verdict, guesses; as in fruitvision/recognition/classifier.py.

/** @import { Guess, Model, Prediction, Thresholds } from "./types.js" */

/**
 * The labels and their fruit types: the network's classes, followed by the taught ones.
 * @typedef {{ labels: string[], types: string[], typeOf: Int32Array, nothing: number }} LabelSpace
 */

/**
 * @param {string[]} labels
 * @param {string[]} fruitTypes
 * @param {string} notFruit
 * @returns {LabelSpace}
 */
export function labelSpace(labels, fruitTypes, notFruit) {
  const types = [...new Set(fruitTypes.filter((name) => name !== notFruit))];
  const nothing = types.length, number = new Map(types.map((name, n) => [name, n]));
  return { labels, types, nothing, typeOf: Int32Array.from(fruitTypes, (name) => number.get(name) ?? nothing) };
}

/**
 * Logits of a picture's views, (views × C), flattened → the mean of the views' probabilities, (C).
 * @param {Float32Array} logits
 * @param {number} classes
 * @param {number} temperature
 */
export function probabilitiesOf(logits, classes, temperature) {
  const views = logits.length / classes, mean = new Float64Array(classes), exponentials = new Float64Array(classes);
  for (let view = 0; view < views; view++) {
    let most = -Infinity, total = 0;
    for (let c = 0; c < classes; c++) most = Math.max(most, logits[view * classes + c]);
    for (let c = 0; c < classes; c++) total += exponentials[c] = Math.exp((logits[view * classes + c] - most) / temperature);
    for (let c = 0; c < classes; c++) mean[c] += exponentials[c] / total / views;
  }
  return mean;
}

/**
 * The sum of the probabilities of each fruit type; that of no fruit is the last.
 * @param {LabelSpace} space
 * @param {ArrayLike<number>} probabilities
 */
export function byType(space, probabilities) {
  const sums = new Float64Array(space.types.length + 1);
  for (let c = 0; c < space.typeOf.length; c++) sums[space.typeOf[c]] += probabilities[c];
  return sums.map((sum) => Math.min(sum, 1));
}

/**
 * @param {number} confidence
 * @param {number} noFruit
 * @param {Thresholds} thresholds
 * @returns {Prediction["verdict"]}
 */
export function verdict(confidence, noFruit, thresholds) {
  if (thresholds.not_fruit < 1 && noFruit >= thresholds.not_fruit) return "not-fruit";
  return thresholds.unsure < 1 && confidence >= thresholds.unsure ? "sure" : "unsure";
}

/**
 * @param {Model} model
 * @param {LabelSpace} space
 * @param {Float64Array} probabilities
 * @param {(label: string) => Thresholds} thresholdsOf
 * @returns {Prediction}
 */
export function predictionOf(model, space, probabilities, thresholdsOf = () => model.thresholds) {
  const sums = byType(space, probabilities);
  const order = space.types.map((_, n) => n).sort((a, b) => sums[b] - sums[a]).slice(0, model.guesses);
  /** @type {Guess[]} */
  const top = order.map((type) => {
    let best = -1;
    for (let c = 0; c < space.typeOf.length; c++) {
      if (space.typeOf[c] === type && (best < 0 || probabilities[c] > probabilities[best])) best = c;
    }
    const taught = best >= model.classes.length;
    return { label: space.labels[best], fruit_type: space.types[type], probability: sums[type], taught };
  });
  const { label, fruit_type, probability, taught } = top[0];
  return {
    label, fruit_type, confidence: probability, top, probabilities,
    verdict: verdict(probability, sums[space.nothing], thresholdsOf(taught ? label : "")), // a class may have a taught name
  };
}

/**
 * The weight of each class in the heatmap of an answer: its share of the answered fruit type.
 * @param {LabelSpace} space
 * @param {Prediction} prediction
 */
export function sharesOf(space, prediction) {
  const type = space.types.indexOf(prediction.fruit_type);
  return prediction.probabilities.map((p, c) => (space.typeOf[c] === type ? p / prediction.confidence : 0));
}

/**
 * The probabilities of a live view's frame, smoothed with the previous ones, if both have the same classes.
 * @param {Float64Array} probabilities
 * @param {Float64Array | null} previous
 * @param {number} share weight of the previous probabilities
 */
export function smoothed(probabilities, previous, share) {
  if (!previous || previous.length !== probabilities.length) return probabilities;
  return probabilities.map((p, n) => p + (previous[n] - p) * share);
}

/**
 * The fruits in an answer's title: one; two if both are likely; none if none is likely, or if there is no fruit.
 * @param {Model["card"]} card
 * @param {Prediction} prediction
 * @returns {Guess[]}
 */
export function namedGuesses(card, { verdict, top }) {
  const [best, second] = top;
  if (verdict === "not-fruit") return [];
  if (verdict === "sure") return [best];
  const both = second && second.probability >= card.min_second * best.probability && best.probability + second.probability >= card.min_both;
  if (both) return [best, second];
  return best.probability >= card.min_alone ? [best] : [];
}

/**
 * @param {Model["card"]} card
 * @param {Prediction} prediction
 * @returns {"nothing" | "unsure" | "very_sure" | "sure"}
 */
export function sureness(card, prediction) {
  if (prediction.verdict === "not-fruit") return "nothing";
  if (prediction.verdict === "unsure") return "unsure";
  return prediction.confidence >= card.very_sure && !prediction.top[0].taught ? "very_sure" : "sure";
}

/**
 * A rounded percentage, but never 0% or 100% for a share that is not exactly that.
 * @param {number} share
 */
export function percent(share) {
  if (share < 0.005) return "<1%";
  return share >= 0.995 && share < 1 ? ">99%" : `${Math.round(share * 100)}%`;
}
