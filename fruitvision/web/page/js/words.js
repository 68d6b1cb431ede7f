// The page's sentences, in the visitor's language: they come from model.json, where both languages stand side by side.

/** @import { Model } from "../recognition/types.js" */

const KEPT = "fruitvision-language";
/** @type {Model} */
let model;
let language = "en";

/** @param {Model} given */
export function useWords(given) {
  model = given;
  let kept = null;
  try {
    kept = localStorage.getItem(KEPT);
  } catch { /* a browser that stores nothing */ }
  const asked = [kept, ...navigator.languages].map((one) => (one ?? "").slice(0, 2).toLowerCase());
  language = asked.find((one) => one in model.words) ?? "en";
}

export const currentLanguage = () => language;

/** The other language, by its own name. */
export const otherLanguage = () => (language === "en" ? { code: "zh", name: "中文" } : { code: "en", name: "English" });

export function switchLanguage() {
  language = otherLanguage().code;
  try {
    localStorage.setItem(KEPT, language);
  } catch { /* then it is asked again at the next visit */ }
}

/**
 * A sentence with its facts filled in.
 * @param {string} key
 * @param {Record<string, string | number>} [facts]
 */
export function say(key, facts = {}) {
  const sentence = model.words[language][key] ?? model.words.en[key] ?? key;
  return sentence.replace(/\{(\w+)[^}]*\}/g, (whole, name) => String(facts[name] ?? whole));
}

/**
 * A class, fruit type or taught name, as it is shown.
 * @param {string} name
 */
export function nameOf(name) {
  if (model.taught.no_fruit_names.includes(name)) return say(`teach.name_${name}`);
  return (language === "zh" && model.chinese[name]) || name;
}

/**
 * The name that a person means: a known one, typed in either language and any capitals, or what was typed.
 * @param {string} typed
 * @param {string[]} known
 */
export function meantName(typed, known) {
  const wanted = cleanName(typed, model.taught.max_name_length), folded = wanted.toLowerCase();
  for (const name of [...model.taught.no_fruit_names, ...known]) {
    const spoken = [name, model.chinese[name], ...Object.values(model.words).map((words) => words[`teach.name_${name}`])];
    if (spoken.some((one) => one?.toLowerCase() === folded)) return name;
  }
  return wanted;
}

/**
 * As it is stored: NFC, no control characters, single spaces, so many characters at most.
 * @param {string} name
 * @param {number} most
 */
export function cleanName(name, most) {
  const printable = name.replace(/[\p{Cc}\p{Zl}\p{Zp}\p{Cs}]/gu, " ").normalize("NFC");
  return [...printable.split(/\s+/u).filter(Boolean).join(" ")].slice(0, most).join("").trimEnd();
}

/** Fill in every element that says something. */
export function fillWords() {
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  for (const element of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-say]"))) {
    element.textContent = say(element.dataset.say ?? "");
  }
  for (const element of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-label]"))) {
    element.setAttribute("aria-label", say(element.dataset.label ?? ""));
  }
}
