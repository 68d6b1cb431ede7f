// Shared by the scripts that call Python functions for the owner; each such script is appended to this one.
// `element`, `server` and `trigger` come from gr.HTML. The component stays hidden for visitors: only the owner gets answers.
const part = element.querySelector("[data-part]");
const words = Object.fromEntries([...part.querySelectorAll("template[data-language]")].map((t) => [t.dataset.language, t.dataset]));
const find = (selector) => part.querySelector(selector);
const statusLine = find("[role=status]");

const page = () => window.fruitvision || { language: "en", model: null };
const key = (word) => word.replace(/_(.)/g, (_, letter) => letter.toUpperCase());
// A fact may be an object with its text in each language.
const say = (word, facts = {}) => {
  const { language } = page(), sentence = (words[language] || words.en)[key(word)];
  return sentence.replace(/\{(\w+)\}/g, (whole, fact) => facts[fact]?.[language] ?? facts[fact] ?? whole);
};
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, Math.max(ms, 0)));

// Translate the static texts: data-say is an element's text, data-hint its placeholder, data-label its accessible name.
function translate(root = part) {
  for (const child of root.querySelectorAll("[data-say]:not(template)")) child.textContent = say(child.dataset.say);
  for (const child of root.querySelectorAll("[data-hint]:not(template)")) child.placeholder = say(child.dataset.hint);
  for (const child of root.querySelectorAll("[data-label]:not(template)")) child.setAttribute("aria-label", say(child.dataset.label));
}

// The message of an element: a function is called again when the language changes; a string, such as the server's, is then removed.
const messages = new Map();
let language = page().language;
function setMessage(place, words) {
  const text = typeof words === "function" ? words() : words;
  if (text) messages.set(place, words);
  else {
    messages.delete(place);
    place.classList.remove("fv-wrong");
  }
  if (place.textContent !== text) place.textContent = text;
}
window.addEventListener("fruitvision-header-change", () => {
  if (language === page().language) return;
  language = page().language;
  for (const [place, words] of [...messages]) setMessage(place, typeof words === "function" && place.isConnected ? words : "");
});

function showStatus(words, wrong = false) {
  setMessage(statusLine, words);
  statusLine.classList.toggle("fv-wrong", wrong);
}

// Call a Python function. Returns its answer, or null if it failed; the error is then shown.
async function callServer(name, given = {}) {
  try {
    const answer = await server[name]({ ...page(), ...given });
    if (answer.error) {
      if (answer.code !== "owner-only" || !part.hidden) showStatus(answer.error, true);
      return null;
    }
    return answer;
  } catch {
    showStatus(() => say("lost"), true);
    return null;
  }
}

// A picture as an upright JPEG data URL, its short side at most `side` pixels. What the browser cannot decode is sent as it is: the
// server then answers with the error.
async function smallJpeg(picture, side) {
  try {
    const bitmap = await createImageBitmap(picture);
    const scale = Math.min(side / Math.min(bitmap.width, bitmap.height), 1);
    const canvas = document.createElement("canvas");
    canvas.width = Math.max(Math.round(bitmap.width * scale), 1);
    canvas.height = Math.max(Math.round(bitmap.height * scale), 1);
    const pen = canvas.getContext("2d");
    pen.fillStyle = "#fff"; // transparent pixels become white, as on the server
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

// Make `place` a drop zone for files; `onDrop` gets the event.
function makeDropZone(place, onDrop) {
  for (const kind of ["dragenter", "dragover"]) place.addEventListener(kind, (event) => { event.preventDefault(); place.classList.add("fv-over"); });
  for (const kind of ["dragleave", "drop"]) place.addEventListener(kind, (event) => { event.preventDefault(); place.classList.remove("fv-over"); });
  place.addEventListener("drop", onDrop);
}
