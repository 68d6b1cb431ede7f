// What the scripts share that call functions of the server for its owner; each follows below this in one function.
// `element`, `server` and `trigger` come from gr.HTML. For a visitor a part stays hidden: only the owner is answered.
const part = element.querySelector("[data-part]");
const words = Object.fromEntries([...part.querySelectorAll("template[data-language]")].map((t) => [t.dataset.language, t.dataset]));
const find = (selector) => part.querySelector(selector);
const said = find("[role=status]");

const page = () => window.fruitvision || { language: "en", model: null };
const key = (word) => word.replace(/_(.)/g, (_, letter) => letter.toUpperCase());
// A fact may be an object: what it is in each language.
const say = (word, facts = {}) => {
  const { language } = page(), sentence = (words[language] || words.en)[key(word)];
  return sentence.replace(/\{(\w+)\}/g, (whole, fact) => facts[fact]?.[language] ?? facts[fact] ?? whole);
};
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, Math.max(ms, 0)));

// Every element says its words: data-say its text, data-hint its placeholder, data-label what a screen reader says.
function speak(root = part) {
  for (const own of root.querySelectorAll("[data-say]:not(template)")) own.textContent = say(own.dataset.say);
  for (const own of root.querySelectorAll("[data-hint]:not(template)")) own.placeholder = say(own.dataset.hint);
  for (const own of root.querySelectorAll("[data-label]:not(template)")) own.setAttribute("aria-label", say(own.dataset.label));
}

// What a place says: a function says it anew when the language changes; a text, such as the server's, is in no other language, and goes.
const spoken = new Map();
let language = page().language;
function utter(place, words) {
  const text = typeof words === "function" ? words() : words;
  if (text) spoken.set(place, words);
  else {
    spoken.delete(place);
    place.classList.remove("fv-wrong");
  }
  if (place.textContent !== text) place.textContent = text;
}
window.addEventListener("fruitvision-words", () => {
  if (language === page().language) return;
  language = page().language;
  for (const [place, words] of [...spoken]) utter(place, typeof words === "function" && place.isConnected ? words : "");
});

function tell(words, wrong = false) {
  utter(said, words);
  said.classList.toggle("fv-wrong", wrong);
}

// A call's answer; null where it failed, which is then said.
async function ask(call, given = {}) {
  try {
    const answer = await server[call]({ ...page(), ...given });
    if (answer.error) {
      if (answer.code !== "owner-only" || !part.hidden) tell(answer.error, true);
      return null;
    }
    return answer;
  } catch {
    tell(() => say("lost"), true);
    return null;
  }
}

// A picture of any size, upright, as a small JPEG; what the browser cannot read goes as it is, to be refused in words.
async function small(picture, side) {
  try {
    const bitmap = await createImageBitmap(picture);
    const scale = Math.min(side / Math.min(bitmap.width, bitmap.height), 1);
    const canvas = document.createElement("canvas");
    canvas.width = Math.max(Math.round(bitmap.width * scale), 1);
    canvas.height = Math.max(Math.round(bitmap.height * scale), 1);
    const pen = canvas.getContext("2d");
    pen.fillStyle = "#fff"; // what is transparent lies on white, as everywhere here
    pen.fillRect(0, 0, canvas.width, canvas.height);
    pen.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    bitmap.close();
    return canvas.toDataURL("image/jpeg", 0.92);
  } catch {
    return picture instanceof Blob && picture.size <= 10 * 2 ** 20 ? `data:image/x;base64,${await base64(picture)}` : "";
  }
}

async function base64(blob) {
  const url = await new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
  return url.slice(url.indexOf(",") + 1);
}

// Files may be dropped on `place`; `take` gets the event.
function droppable(place, take) {
  for (const kind of ["dragenter", "dragover"]) place.addEventListener(kind, (event) => { event.preventDefault(); place.classList.add("fv-over"); });
  for (const kind of ["dragleave", "drop"]) place.addEventListener(kind, (event) => { event.preventDefault(); place.classList.remove("fv-over"); });
  place.addEventListener("drop", take);
}
