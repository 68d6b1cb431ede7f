// The live view. Each frame is one short call, and the next frame is taken once the last one is answered, so a slow server only makes
// the view slower, and no connection is held between two frames. `element` and `server` come from gr.HTML.
const EVERY_MS = 350, RETRY_MS = 2000, SIDE = 256;
const ANNOUNCE_MS = 3000; // minimum time between two answers that a screen reader announces
let shown = "";
const GUIDE = 0.8; // share of the video's short side
const view = element.querySelector(".fv-live");
const words = Object.fromEntries([...view.querySelectorAll("template")].map((t) => [t.dataset.language, t]));
const video = view.querySelector("video"), stage = view.querySelector(".fv-stage");
const startButton = view.querySelector(".fv-live-start"), switchButton = view.querySelector(".fv-live-switch");
const intro = view.querySelector(".fv-live-intro");
const emptyButton = view.querySelector(".fv-live-empty");
const message = view.querySelector(".fv-live-message"), answer = view.querySelector(".fv-live-card");
const fix = view.querySelector(".fv-fix"), announcement = view.querySelector(".fv-live-said");
const canvas = document.createElement("canvas");
canvas.width = canvas.height = SIDE;

let held = false; // frames are being taught, and none is classified meanwhile
let stream = null, round = 0, cameras = [], chosen = 0, problem = null;
// The picture of the place without fruit, and the probabilities of the last answer with its model: the server keeps neither.
let empty = null, memory = null, memoryModel = null;
const page = () => window.fruitvision || { language: "en", model: null };
const template = () => words[page().language] || words.en;
const say = (key) => template().dataset[key];

function label() {
  startButton.querySelector("span").textContent = say(stream ? "stop" : "start");
  switchButton.textContent = say("switch");
  emptyButton.textContent = say(empty ? "forget" : "empty");
  emptyButton.title = say("empty_why");
  emptyButton.hidden = !stream;
  emptyButton.setAttribute("aria-pressed", String(Boolean(empty)));
  view.querySelector(".fv-live-hint").textContent = say(stream && empty ? "known" : "hint");
  intro.textContent = say(problem || "intro"); // while the camera is off; the message is then for screen readers only
  intro.setAttribute("aria-hidden", String(Boolean(problem)));
  video.setAttribute("aria-label", say("video"));
  message.textContent = problem ? say(problem) : "";
  stage.classList.toggle("fv-on", Boolean(stream));
  fix.querySelector("summary").textContent = say("fix");
  if (stream) return;
  answer.innerHTML = template().innerHTML;
  view.querySelector(".fv-live-learned").replaceChildren();
  fix.open = false;
  fix.hidden = true;
  announcement.textContent = shown = "";
}

function showProblem(key) {
  if (problem === key) return;
  problem = key;
  label();
}

async function start() {
  const mine = ++round;
  halt();
  if (!navigator.mediaDevices?.getUserMedia) return showProblem("insecure");
  const camera = cameras.length > 1 && chosen >= 0 && cameras[chosen]
    ? { deviceId: { exact: cameras[chosen] } } : { facingMode: { ideal: "environment" } };
  try {
    const opened = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 1280 }, ...camera } });
    if (mine !== round) return opened.getTracks().forEach((track) => track.stop());
    stream = opened;
    video.srcObject = stream;
    await video.play();
  } catch (error) {
    if (mine !== round) return; // stopped or restarted while the camera was opening
    halt();
    return showProblem({ NotAllowedError: "denied", NotReadableError: "busy" }[error.name] || "none");
  }
  if (mine !== round) return;
  stream.getVideoTracks()[0].addEventListener("ended", () => { if (mine === round) { stop(); showProblem("none"); } });
  showProblem(null);
  guide();
  await findCameras();
  label();
  run(mine);
}

async function findCameras() {
  const found = (await navigator.mediaDevices.enumerateDevices()).filter((device) => device.kind === "videoinput");
  cameras = found.map((device) => device.deviceId);
  const current = stream?.getVideoTracks()[0]?.getSettings().deviceId;
  chosen = Math.max(cameras.indexOf(current), 0);
  switchButton.hidden = cameras.length < 2;
}

// Resizes the guide box to the part of the video that is sent, at the video's current scale.
function guide() {
  const scale = Math.min(stage.clientWidth / video.videoWidth, stage.clientHeight / video.videoHeight);
  const side = Math.min(video.videoWidth, video.videoHeight) * scale * GUIDE;
  if (side > 0) stage.style.setProperty("--fv-side", `${side}px`);
}

function halt() {
  stream?.getTracks().forEach((track) => track.stop());
  stream = video.srcObject = null;
  empty = memory = null; // the next view may be of another place
}

function stop() {
  round += 1;
  halt();
  label();
}

async function run(mine) {
  while (mine === round && element.isConnected) {
    const began = performance.now();
    if (view.offsetParent === null) return stop(); // another panel is open: the camera is switched off
    if (!document.hidden && !held && !fix.open && video.videoWidth) { // an answer that is being corrected is kept
      try {
        const { model, language } = page();
        if (memoryModel !== model) memory = null;
        const taught = document.querySelector("#classify-use-taught input")?.checked !== false;
        const result = await server.answer_frame({ image: frame(), model, language, empty, memory, taught });
        if (mine !== round) return;
        if (held || fix.open) continue; // the answer is older than the teaching in progress
        memory = result.memory || null;
        memoryModel = model;
        show(result);
        showProblem(null);
      } catch {
        if (mine !== round) return;
        showProblem("lost");
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
    const rest = EVERY_MS - (performance.now() - began);
    await new Promise((resolve) => setTimeout(resolve, Math.max(rest, 30)));
  }
}

let shownFix = "", previous = "", announcedAt = -ANNOUNCE_MS;
function show(result) {
  if (result.html !== shown) answer.innerHTML = shown = result.html;
  fix.hidden = !result.fix;
  if (result.fix && result.fix !== shownFix) fix.lastElementChild.innerHTML = shownFix = result.fix;
  const stable = result.said === previous; // two equal answers in a row
  previous = result.said;
  if (!stable || result.said === announcement.textContent || performance.now() - announcedAt < ANNOUNCE_MS) return;
  announcement.textContent = result.said;
  announcedAt = performance.now();
}

// The inside of the guide box as a small JPEG: exactly what the network gets.
function frame() {
  const side = Math.min(video.videoWidth, video.videoHeight) * GUIDE;
  const left = (video.videoWidth - side) / 2, top = (video.videoHeight - side) / 2;
  canvas.getContext("2d").drawImage(video, left, top, side, side, 0, 0, SIDE, SIDE);
  return canvas.toDataURL("image/jpeg", 0.9);
}

fix.addEventListener("toggle", () => fix.open && fix.scrollIntoView({ block: "nearest" })); // beside a low video the answer scrolls
startButton.addEventListener("click", () => (stream ? stop() : start()));
emptyButton.addEventListener("click", () => { empty = empty ? null : frame(); memory = null; label(); });
switchButton.addEventListener("click", () => { chosen = (chosen + 1) % cameras.length; start(); });
// The interface for teach.js. Teaching discards the memory of earlier answers.
view.camera = {
  on: () => Boolean(stream && video.videoWidth),
  start, frame,
  hold(on, words = "") { held = on; memory = null; if (on) message.textContent = words; else label(); },
};
new ResizeObserver(guide).observe(stage);
video.addEventListener("resize", guide);
window.addEventListener("fruitvision-header-change", label);
label();
