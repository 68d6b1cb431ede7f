import assert from "node:assert/strict";
import { test } from "node:test";
import { cases, floats, page } from "./cases.js";

const { labelSpace, namedGuesses, percent, predictionOf, probabilitiesOf, sharesOf, smoothed, sureness } =
  await import(new URL("recognition/answers.js", page));
const { classActivation, overlay, palette } = await import(new URL("recognition/heatmap.js", page));
const { TaughtHead } = await import(new URL("recognition/taught_head.js", page));
const model = cases.model, classes = model.classes.length;

/** @param {ArrayLike<number>} found @param {ArrayLike<number>} wanted @param {number} within */
function close(found, wanted, within) {
  assert.equal(found.length, wanted.length);
  for (let i = 0; i < found.length; i++) assert.ok(Math.abs(found[i] - wanted[i]) <= within, `${i}: ${found[i]} ${wanted[i]}`);
}

test("answers are Python's: guesses, verdict, title, how sure", () => {
  const verdicts = new Set();
  for (const one of cases.answers) {
    const probabilities = probabilitiesOf(Float32Array.from(one.logits.flat()), classes, model.temperature);
    const found = predictionOf(model, labelSpace(model.classes, model.fruit_types, model.not_fruit), probabilities);
    assert.deepEqual([found.label, found.fruit_type, found.verdict], [one.label, one.fruit_type, one.verdict]);
    assert.deepEqual(found.top.map((guess) => [guess.label, guess.fruit_type]), one.top.map(([label, type]) => [label, type]));
    close(found.top.map((guess) => guess.probability), one.top.map((guess) => guess[2]), 1e-5);
    assert.deepEqual(namedGuesses(model.card, found).map((guess) => guess.fruit_type), one.named);
    assert.equal(sureness(model.card, found), one.sureness);
    close(sharesOf(labelSpace(model.classes, model.fruit_types, model.not_fruit), found), one.shares, 1e-5);
    verdicts.add(found.verdict);
  }
  assert.deepEqual([...verdicts].sort(), ["not-fruit", "sure", "unsure"]);
});

test("a live answer is smoothed with the one before, unless there are other names", () => {
  close(smoothed(Float64Array.of(1, 0), Float64Array.of(0, 1), 0.6), [0.4, 0.6], 1e-12);
  assert.deepEqual([...smoothed(Float64Array.of(1, 0), Float64Array.of(0, 0, 1), 0.6)], [1, 0]);
});

test("shares are said as the app says them", () => {
  for (const [share, words] of cases.percents) assert.equal(percent(share), words);
});

test("what was taught joins the answers as in Python", () => {
  const { features, weight, taught } = cases.teaching, size = features;
  const head = floats(weight);
  for (const one of taught) {
    const examples = one.examples.map(([name, file, probabilities]) => [name, { features: floats(file), probabilities: Float32Array.from(probabilities) }]);
    const found = new TaughtHead(model, head, examples);
    assert.deepEqual(found.names, one.names);
    assert.deepEqual(found.fruitTypes, one.fruit_types);
    for (const query of one.queries) {
      close(found.join(Float64Array.from(query.probabilities), Float32Array.from(query.features)), query.joined, 2e-4);
    }
    close(found.extendedWeight(), floats(one.extended), 1e-4);
    for (const [label, wanted] of Object.entries(one.thresholds)) assert.deepEqual(found.thresholds(model.thresholds, label), wanted);
    assert.equal(size, head.length / classes);
  }
});

test("the heatmap is Python's, position by position, and its colours too", () => {
  const { maps, weight, shares, activation, rows, columns, box, width, height, overlaid, picture } = cases.heatmap;
  const found = classActivation(floats(maps), floats(weight), shares);
  close(found, activation, 1e-4);
  assert.equal(found.length, rows * columns);
  const pixels = overlay(found, columns, box, width, height, palette(model.heatmap.stops, model.heatmap.opacity));
  const blended = [];
  for (let i = 0; i < width * height; i++) {
    const share = pixels[i * 4 + 3] / 255;
    for (let c = 0; c < 3; c++) blended.push(Math.round(pixels[i * 4 + c] * share + picture[c] * (1 - share)));
  }
  close(blended, overlaid, 4);
});
