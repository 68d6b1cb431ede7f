// The page's sentences in the visitor's language, from model.json, which has all languages.

/** @import { Model } from "../recognition/types.js" */

const STORAGE_KEY = "fruitvision-language";
/** @type {Model} */
let model;
let language = "en";

/** @param {Model} given */
export function useWords(given) {
  model = given;
  let stored = null;
  try {
    stored = localStorage.getItem(STORAGE_KEY);
  } catch { /* storage is not allowed */ }
  const preferred = [stored, ...navigator.languages].map((code) => (code ?? "").slice(0, 2).toLowerCase());
  language = preferred.find((code) => code in model.words) ?? "en";
}

export const currentLanguage = () => language;

/** The other language, with its own name. */
export const otherLanguage = () => (language === "en" ? { code: "zh", name: "中文" } : { code: "en", name: "English" });

export function switchLanguage() {
  language = otherLanguage().code;
  try {
    localStorage.setItem(STORAGE_KEY, language);
  } catch { /* then the next visit starts with the browser's language */ }
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
 * The display name of a class, fruit type or taught name.
 * @param {string} name
 */
export function nameOf(name) {
  if (model.taught.no_fruit_names.includes(name)) return say(`teach.name_${name}`);
  return (language === "zh" && model.chinese[name]) || name;
}

/**
 * The known name that was typed, in either language, ignoring case; otherwise the typed name itself.
 * @param {string} typed
 * @param {string[]} known
 */
export function meantName(typed, known) {
  const wanted = cleanName(typed, model.taught.max_name_length), folded = wanted.toLowerCase();
  for (const name of [...model.taught.no_fruit_names, ...known]) {
    const names = [name, model.chinese[name], ...Object.values(model.words).map((words) => words[`teach.name_${name}`])];
    if (names.some((one) => one?.toLowerCase() === folded)) return name;
  }
  return wanted;
}

/**
 * A name as it is stored: NFC, without control characters, with single spaces, at most `most` characters.
 * @param {string} name
 * @param {number} most
 */
export function cleanName(name, most) {
  const printable = name.replace(/[\p{Cc}\p{Zl}\p{Zp}\p{Cs}]/gu, " ").normalize("NFC");
  return [...printable.split(/\s+/u).filter(Boolean).join(" ")].slice(0, most).join("").trimEnd();
}

/** Set the texts of all elements with data-say, and the accessible names of those with data-label. */
export function fillWords() {
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  for (const element of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-say]"))) {
    element.textContent = say(element.dataset.say ?? "");
  }
  for (const element of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-label]"))) {
    element.setAttribute("aria-label", say(element.dataset.label ?? ""));
  }
}
