// The page's events and display. The network runs in recognition/worker.js.

import { Camera } from "./camera.js";
import { cardOf, errorCard, titleOf } from "./card.js";
import { WorkerClient, WorkerError } from "./worker_client.js";
import { Teaching } from "./teaching.js";
import { currentLanguage, fillWords, otherLanguage, say, switchLanguage, useWords } from "./words.js";

/** @import { Model, Prediction } from "../recognition/types.js" */

const ANNOUNCE_MS = 2000; // minimum time between two titles of the live view that a screen reader announces
const MAX_HEATMAP_SIDE = 1280;

/** @param {string} id @returns {any} */
const find = (id) => document.getElementById(id);
const base = new URL("../", import.meta.url);
const hasApp = new URLSearchParams(location.search).has("app"); // the app redirected here, or its header's link was followed

/** The state of the page. */
const shown = {
  /** @type {Prediction | null} */ prediction: null,
  /** @type {Blob | null} */ picture: null,
  /** Chosen before the network was loaded. @type {Blob | null} */ waiting: null,
  /** @type {(() => string) | null} */ problem: null,
  /** @type {(() => string) | null} */ status: null,
  /** @type {(() => string) | null} */ failed: null,
  heat: false, ready: false, offline: false, announced: "", announcedAt: 0, round: 0,
};

/** @type {Model} */
let model;
const worker = new WorkerClient((share) => setStatus(() => say("web.loading", { percent: Math.round(share * 100) })));
const camera = new Camera(find("video"), find("stage"), answerFrame, (key) => setProblem(key ? () => say(key) : null));
/** @type {Teaching} */
let teaching;

/** @param {(() => string) | null} words */
function setStatus(words) {
  shown.status = words;
  updateMessage();
}

/** @param {(() => string) | null} words */
function setProblem(words) {
  shown.problem = words;
  updateMessage();
  updateButtons();
}

function updateMessage() {
  if (model) find("message").textContent = (shown.problem ?? shown.status)?.() ?? "";
}

function updateButtons() {
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

function updateCard() {
  const parts = shown.failed ? errorCard(shown.failed()) : shown.prediction ? cardOf(model, shown.prediction) : [];
  find("answer").replaceChildren(...parts);
  find("answer").hidden = !parts.length;
  if (shown.failed) announce(shown.failed());
  else if (shown.prediction) announce(titleOf(model, shown.prediction).join(" "));
}

/** Announce a change to screen readers, in the live view not for every frame. @param {string} words */
function announce(words) {
  const now = performance.now();
  if (words === shown.announced || (camera.on && now - shown.announcedAt < ANNOUNCE_MS)) return;
  shown.announced = words;
  shown.announcedAt = now;
  find("spoken").textContent = words;
}

function translate() {
  fillWords();
  find("network").textContent = model.name;
  find("accuracy").textContent = model.accuracy[currentLanguage()];
  find("picture").alt = say("web.shown");
  find("offline").textContent = shown.offline ? `· ${say("web.offline")}` : "";
  find("name").placeholder = say("teach.name_hint");
  teaching?.translate();
  updateMessage();
  updateButtons();
  updateCard();
}

/** @param {unknown} error */
const errorMessage = (error) => () => (error instanceof WorkerError && error.code ? say(`errors.${error.code}`, error.facts) : say("classify.sorry"));

/** @param {Blob | null | undefined} file */
async function answerPicture(file) {
  if (!file) return;
  if (!shown.ready) { // classified as soon as the network is loaded
    shown.waiting = file;
    return;
  }
  const round = ++shown.round;
  if (camera.stream) camera.stop();
  if (find("picture").src) URL.revokeObjectURL(find("picture").src);
  find("heat").hidden = true;
  shown.picture = file;
  find("picture").src = URL.createObjectURL(file);
  setProblem(null);
  setStatus(() => say("web.preparing"));
  find("answer").setAttribute("aria-busy", "true"); // the displayed answer is about the previous picture
  try {
    const { prediction } = await worker.ask("picture", { file });
    if (round !== shown.round) return;
    shown.prediction = prediction;
    shown.failed = null;
  } catch (error) {
    if (round !== shown.round) return;
    shown.prediction = shown.picture = null;
    shown.failed = errorMessage(error);
    updateButtons();
  }
  setStatus(null);
  updateCard();
  find("answer").removeAttribute("aria-busy");
  await updateHeatmap();
}

/** @param {ImageBitmap} frame */
async function answerFrame(frame) {
  const round = shown.round, cameraRound = camera.round;
  const { prediction, still } = await worker.ask("frame", { frame }, [frame]);
  if (round !== shown.round || cameraRound !== camera.round || camera.held) return still;
  shown.prediction = prediction;
  shown.failed = null;
  updateCard();
  if (shown.heat) await updateHeatmap();
  return still;
}

async function updateHeatmap() {
  const canvas = find("heat"), picture = find("picture"), live = camera.on;
  if (!shown.heat || !shown.prediction || shown.failed) {
    canvas.hidden = true;
    return;
  }
  const round = shown.round, cameraRound = camera.round;
  if (!live) await picture.decode().catch(() => undefined);
  const size = live ? { width: 448, height: 448 } : { width: picture.naturalWidth, height: picture.naturalHeight };
  const scale = Math.min(1, MAX_HEATMAP_SIDE / Math.max(size.width, size.height));
  const { overlay } = await worker.ask("heatmap", { width: Math.round(size.width * scale), height: Math.round(size.height * scale) });
  if (!overlay || round !== shown.round || cameraRound !== camera.round) return;
  canvas.width = overlay.width;
  canvas.height = overlay.height;
  canvas.getContext("bitmaprenderer").transferFromImageBitmap(overlay);
  canvas.hidden = false;
}

async function startCamera(next = false) {
  shown.round += 1;
  shown.picture = shown.prediction = shown.failed = null;
  find("answer").removeAttribute("aria-busy");
  find("heat").hidden = true;
  setProblem(null);
  await worker.ask("forget");
  const opened = await (next ? camera.next() : camera.start());
  if (opened) setProblem(null);
  setStatus(opened ? () => say("web.here") : null);
  updateButtons();
  updateCard();
}

function stopCamera() {
  camera.stop();
  find("heat").hidden = true;
  shown.prediction = null;
  setStatus(null);
  updateButtons();
  updateCard();
}

function addListeners() {
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
    updateButtons();
    await updateHeatmap();
  });
  find("teaching").addEventListener("click", () => showTeaching(find("teach").hidden));
  find("close").addEventListener("click", () => { showTeaching(false); find("teaching").focus(); });
  find("language").addEventListener("click", () => { switchLanguage(); translate(); });
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

/** Install the service worker, which keeps the page for offline use. */
async function installServiceWorker() {
  if (!("serviceWorker" in navigator)) return; // without https
  try {
    await navigator.serviceWorker.register(new URL("sw.js", base));
    await navigator.serviceWorker.ready;
    shown.offline = true;
    translate();
  } catch (error) {
    console.warn("The page is not available offline:", error);
  }
}

async function open() {
  if (document.body.classList.contains("old")) return; // browser_check.js
  const response = await fetch(new URL("model.json", base));
  if (!response.ok) throw new Error(`model.json: ${response.status}`);
  model = await response.json();
  useWords(model);
  find("whole").hidden = !hasApp;
  addListeners();
  translate();
  setStatus(() => say("web.loading", { percent: 0 }));
  const opened = await worker.ask("open", { model, base: base.href });
  document.body.dataset.provider = opened.provider;
  document.body.dataset.threads = opened.threads;
  teaching = new Teaching(model, worker, camera, () => shown.picture, async () => {
    if (shown.picture && !camera.on) await answerPicture(shown.picture);
  });
  const stored = await teaching.open();
  shown.ready = true;
  setStatus(stored ? null : () => say("web.stored_not"));
  document.body.dataset.ready = "yes";
  translate();
  if (shown.waiting) await answerPicture(shown.waiting);
  await installServiceWorker();
}

/** If the page cannot be opened: redirect to the app, if there is one, or show an error. @param {unknown} error */
async function onOpenError(error) {
  console.error(error);
  const app = hasApp && (await fetch(new URL("../alive", base)).catch(() => null));
  if (app && app.ok) return location.replace(new URL("../?app", base));
  const differs = error instanceof Error && error.message.includes("differs");
  if (model) setProblem(() => say(differs ? "web.differs" : "web.failed"));
  else find("message").textContent = "The page could not be loaded. 页面无法加载。";
}

open().catch(onOpenError);
