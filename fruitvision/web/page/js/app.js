// The page: what is pressed, dropped and shown. The network works in recognition/worker.js.

import { Camera } from "./camera.js";
import { cardOf, errorCard, titleOf } from "./card.js";
import { Computing, WorkerError } from "./computing.js";
import { Teaching } from "./teaching.js";
import { currentLanguage, fillWords, otherLanguage, say, switchLanguage, useWords } from "./words.js";

/** @import { Model, Prediction } from "../recognition/types.js" */

const SPOKEN_EVERY_MS = 2000; // a screen reader hears a new title of a live view no more often
const LARGE_HEAT = 1280;

/** @param {string} id @returns {any} */
const find = (id) => document.getElementById(id);
const base = new URL("../", import.meta.url);
const beside = new URLSearchParams(location.search).has("app"); // the app led here, or its header's link

/** What is shown now. */
const shown = {
  /** @type {Prediction | null} */ prediction: null,
  /** @type {Blob | null} */ picture: null,
  /** Given before the network was there. @type {Blob | null} */ waiting: null,
  /** @type {(() => string) | null} */ trouble: null,
  /** @type {(() => string) | null} */ status: null,
  /** @type {(() => string) | null} */ failed: null,
  heat: false, ready: false, offline: false, spoken: "", spokenAt: 0, asked: 0,
};

/** @type {Model} */
let model;
const computing = new Computing((share) => status(() => say("web.loading", { percent: Math.round(share * 100) })));
const camera = new Camera(find("video"), find("stage"), answerFrame, (key) => trouble(key ? () => say(key) : null));
/** @type {Teaching} */
let teaching;

/** @param {(() => string) | null} words */
function status(words) {
  shown.status = words;
  message();
}

/** @param {(() => string) | null} words */
function trouble(words) {
  shown.trouble = words;
  message();
  buttons();
}

function message() {
  if (model) find("message").textContent = (shown.trouble ?? shown.status)?.() ?? "";
}

function buttons() {
  const live = camera.on;
  document.body.classList.toggle("live", live);
  find("video").hidden = find("guide").hidden = !live;
  find("picture").hidden = live || !shown.picture;
  find("empty").hidden = live || Boolean(shown.picture);
  find("switch").hidden = !live || camera.cameras.length < 2;
  find("start").textContent = say(live ? "classify.live_stop" : "classify.live_start");
  find("language").textContent = otherLanguage().name;
  find("language").lang = otherLanguage().code;
  find("heatmap").setAttribute("aria-pressed", String(shown.heat));
  find("this").disabled = live || !shown.picture;
  for (const id of ["start", "choose", "frames", "import"]) find(id).disabled = !shown.ready;
}

function card() {
  const parts = shown.failed ? errorCard(shown.failed()) : shown.prediction ? cardOf(model, shown.prediction) : [];
  find("answer").replaceChildren(...parts);
  find("answer").hidden = !parts.length;
  if (shown.failed) speak(shown.failed());
  else if (shown.prediction) speak(titleOf(model, shown.prediction).join(" "));
}

/** For screen readers: what is new, and not each frame of it. @param {string} words */
function speak(words) {
  const now = performance.now();
  if (words === shown.spoken || (camera.on && now - shown.spokenAt < SPOKEN_EVERY_MS)) return;
  shown.spoken = words;
  shown.spokenAt = now;
  find("spoken").textContent = words;
}

function words() {
  fillWords();
  find("network").textContent = model.name;
  find("accuracy").textContent = model.accuracy[currentLanguage()];
  find("picture").alt = say("web.shown");
  find("offline").textContent = shown.offline ? `· ${say("web.offline")}` : "";
  find("name").placeholder = say("teach.name_hint");
  teaching?.speak();
  message();
  buttons();
  card();
}

/** @param {unknown} error */
const sentence = (error) => () => (error instanceof WorkerError && error.code ? say(`errors.${error.code}`, error.facts) : say("classify.sorry"));

/** @param {Blob | null | undefined} file */
async function answerPicture(file) {
  if (!file) return;
  if (!shown.ready) { // it is answered as soon as the network is there
    shown.waiting = file;
    return;
  }
  const asked = ++shown.asked;
  if (camera.stream) camera.stop();
  if (find("picture").src) URL.revokeObjectURL(find("picture").src);
  find("heat").hidden = true;
  shown.picture = file;
  find("picture").src = URL.createObjectURL(file);
  trouble(null);
  status(() => say("web.preparing"));
  find("answer").setAttribute("aria-busy", "true"); // what stands there is of the picture before
  try {
    const { prediction } = await computing.ask("picture", { file });
    if (asked !== shown.asked) return;
    shown.prediction = prediction;
    shown.failed = null;
  } catch (error) {
    if (asked !== shown.asked) return;
    shown.prediction = shown.picture = null;
    shown.failed = sentence(error);
    buttons();
  }
  status(null);
  card();
  find("answer").removeAttribute("aria-busy");
  await heatmap();
}

/** @param {ImageBitmap} frame */
async function answerFrame(frame) {
  const asked = shown.asked, round = camera.round;
  const { prediction, still } = await computing.ask("frame", { frame }, [frame]);
  if (asked !== shown.asked || round !== camera.round || camera.held) return still;
  shown.prediction = prediction;
  shown.failed = null;
  card();
  if (shown.heat) await heatmap();
  return still;
}

async function heatmap() {
  const canvas = find("heat"), picture = find("picture"), live = camera.on;
  if (!shown.heat || !shown.prediction || shown.failed) {
    canvas.hidden = true;
    return;
  }
  const asked = shown.asked, round = camera.round;
  if (!live) await picture.decode().catch(() => undefined);
  const size = live ? { width: 448, height: 448 } : { width: picture.naturalWidth, height: picture.naturalHeight };
  const scale = Math.min(1, LARGE_HEAT / Math.max(size.width, size.height));
  const { overlay } = await computing.ask("heatmap", { width: Math.round(size.width * scale), height: Math.round(size.height * scale) });
  if (!overlay || asked !== shown.asked || round !== camera.round) return;
  canvas.width = overlay.width;
  canvas.height = overlay.height;
  canvas.getContext("bitmaprenderer").transferFromImageBitmap(overlay);
  canvas.hidden = false;
}

async function startCamera(next = false) {
  shown.asked += 1;
  shown.picture = shown.prediction = shown.failed = null;
  find("answer").removeAttribute("aria-busy");
  find("heat").hidden = true;
  trouble(null);
  await computing.ask("forget");
  const opened = await (next ? camera.next() : camera.start());
  if (opened) trouble(null);
  status(opened ? () => say("web.here") : null);
  buttons();
  card();
}

function stopCamera() {
  camera.stop();
  find("heat").hidden = true;
  shown.prediction = null;
  status(null);
  buttons();
  card();
}

function listen() {
  find("start").addEventListener("click", () => (camera.on ? stopCamera() : startCamera()));
  find("switch").addEventListener("click", () => startCamera(true));
  find("choose").addEventListener("click", () => find("file").click());
  find("file").addEventListener("change", async () => {
    const [file] = find("file").files;
    find("file").value = "";
    await answerPicture(file);
  });
  find("heatmap").addEventListener("click", async () => {
    shown.heat = !shown.heat;
    buttons();
    await heatmap();
  });
  find("teaching").addEventListener("click", () => showTeaching(find("teach").hidden));
  find("close").addEventListener("click", () => { showTeaching(false); find("teaching").focus(); });
  find("language").addEventListener("click", () => { switchLanguage(); words(); });
  const stage = find("stage");
  for (const kind of ["dragenter", "dragover"]) document.addEventListener(kind, (event) => { event.preventDefault(); stage.classList.add("over"); });
  for (const kind of ["dragleave", "drop"]) document.addEventListener(kind, (event) => { event.preventDefault(); stage.classList.remove("over"); });
  document.addEventListener("drop", (event) => answerPicture(event.dataTransfer?.files[0]));
  document.addEventListener("paste", (event) => {
    const file = [...(event.clipboardData?.files ?? [])].find((one) => one.type.startsWith("image/"));
    if (file) answerPicture(file);
  });
}

/** @param {boolean} open */
function showTeaching(open) {
  find("teach").hidden = !open;
  find("teaching").setAttribute("aria-expanded", String(open));
  if (open) find("name").focus();
}

/** Keep the page for the next time, with and without internet. */
async function keepPage() {
  if (!("serviceWorker" in navigator)) return; // without https
  try {
    await navigator.serviceWorker.register(new URL("sw.js", base));
    await navigator.serviceWorker.ready;
    shown.offline = true;
    words();
  } catch (error) {
    console.warn("The page is not kept:", error);
  }
}

async function open() {
  if (document.body.classList.contains("old")) return; // able.js
  const response = await fetch(new URL("model.json", base));
  if (!response.ok) throw new Error(`model.json: ${response.status}`);
  model = await response.json();
  useWords(model);
  find("whole").hidden = !beside;
  listen();
  words();
  status(() => say("web.loading", { percent: 0 }));
  const opened = await computing.ask("open", { model, base: base.href });
  document.body.dataset.provider = opened.provider;
  document.body.dataset.threads = opened.threads;
  teaching = new Teaching(model, computing, camera, () => shown.picture, async () => {
    if (shown.picture && !camera.on) await answerPicture(shown.picture);
  });
  const stored = await teaching.open();
  shown.ready = true;
  status(stored ? null : () => say("web.stored_not"));
  document.body.dataset.ready = "yes";
  words();
  if (shown.waiting) await answerPicture(shown.waiting);
  await keepPage();
}

/** Where nothing can be answered here: to the app, if it is there, or a sentence. @param {unknown} error */
async function giveUp(error) {
  console.error(error);
  const app = beside && (await fetch(new URL("../alive", base)).catch(() => null));
  if (app && app.ok) return location.replace(new URL("../?app", base));
  const differs = error instanceof Error && error.message.includes("differs");
  if (model) trouble(() => say(differs ? "web.differs" : "web.failed"));
  else find("message").textContent = "The page could not be loaded. 页面无法加载。";
}

open().catch(giveUp);
