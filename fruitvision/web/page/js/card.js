// The card of an answer, as in the app (fruitvision/ui/classify/answer.py): name, variety, confidence, other guesses, hints.

import { namedGuesses, percent, sureness } from "../recognition/answers.js";
import { nameOf, say } from "./words.js";

/** @import { Guess, Model, Prediction } from "../recognition/types.js" */

const HINTS = ["help_nearer", "help_lighter", "help_plainer"];

/**
 * @param {string} name
 * @param {Record<string, string>} [attributes]
 * @param {(Node | string)[]} content
 */
export function tag(name, attributes = {}, ...content) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...content);
  return element;
}

/** @param {number} share @param {string} label */
function bar(share, label) {
  const inside = tag("i");
  inside.style.width = `${(share * 100).toFixed(1)}%`;
  const value = String(Math.round(share * 100));
  return tag("span", { class: "bar", role: "meter", "aria-label": label, "aria-valuemin": "0", "aria-valuemax": "100", "aria-valuenow": value }, inside);
}

/**
 * The answer's title in two lines: the kicker, and the name.
 * @param {Model} model
 * @param {Prediction} prediction
 */
export function titleOf(model, prediction) {
  const named = namedGuesses(model.card, prediction), names = named.map((guess) => nameOf(guess.fruit_type));
  if (prediction.verdict === "not-fruit") return [say("classify.no_fruit_kicker"), say("classify.no_fruit")];
  if (!named.length) return [say("classify.unclear_kicker"), say("classify.unclear")];
  const kicker = say(prediction.verdict === "sure" ? "classify.it_is" : "classify.perhaps");
  return [kicker, names.length === 1 ? names[0] : say("classify.either", { first: names[0], second: names[1] })];
}

/**
 * @param {Model} model
 * @param {Prediction} prediction
 * @returns {HTMLElement[]}
 */
export function cardOf(model, prediction) {
  const named = namedGuesses(model.card, prediction), alone = named.length === 1 ? named[0] : null;
  const [kicker, name] = titleOf(model, prediction);
  const parts = [tag("p", { class: "kicker" }, kicker), tag("h2", {}, name)];
  const number = alone ? model.classes.indexOf(alone.label) : -1;
  if (alone && number >= 0) {
    if (model.varieties[number]) parts.push(tag("p", { class: "variety" }, say("classify.variety", { name: nameOf(alone.label) })));
    if (model.only_on_white[number]) parts.push(tag("p", { class: "variety" }, say("classify.only_on_white")));
  }
  if (prediction.verdict !== "not-fruit") {
    const words = say(`classify.${sureness(model.card, prediction)}`), sure = prediction.verdict === "sure";
    if (alone && (sure || !alone.taught)) { // the title says already that it is unsure; of few pictures taught the probability says little
      parts.push(tag("p", { class: "sureness" }, ...(sure ? [tag("strong", {}, words), " "] : []), percent(prediction.confidence)));
      if (sure) parts.push(bar(prediction.confidence, words));
    }
    const guesses = (alone ? prediction.top.slice(1) : prediction.top).filter((guess) => guess.probability >= model.card.min_shown);
    if (guesses.length) {
      parts.push(tag("h3", {}, say(alone ? "classify.others" : "classify.candidates")));
      parts.push(tag("ol", {}, ...guesses.slice(0, 4).map(guessOf)));
    }
  }
  if (prediction.verdict !== "sure" && !alone?.taught) {
    parts.push(tag("h3", {}, say(prediction.verdict === "unsure" ? "classify.help" : "classify.help_if_fruit")));
    parts.push(tag("ul", {}, ...HINTS.map((hint) => tag("li", {}, say(`classify.${hint}`)))));
  }
  return parts;
}

/** @param {Guess} guess */
function guessOf(guess) {
  const name = nameOf(guess.fruit_type);
  return tag("li", { class: "guess" }, tag("span", {}, name), bar(guess.probability, name), tag("span", {}, percent(guess.probability)));
}

/**
 * The card of an error message.
 * @param {string} sentence
 * @returns {HTMLElement[]}
 */
export const errorCard = (sentence) => [tag("h2", {}, say("classify.sorry")), tag("p", { class: "wrong" }, sentence)];
