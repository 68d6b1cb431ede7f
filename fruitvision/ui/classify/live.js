// The camera view. One short call a frame: the next frame is taken when the last one is answered, so a slow server
// only makes the view slower, and nobody holds a place between two frames. `element` and `server` come from gr.HTML.
const EVERY_MS = 350, RETRY_MS = 2000, SIDE = 256;
const SAY_MS = 3000; // between two answers that a screen reader says
let shown = "";
const GUIDE = 0.8; // of the picture's short side
const view = element.querySelector(".fv-live");
const words = Object.fromEntries([...view.querySelectorAll("template")].map((t) => [t.dataset.language, t]));
const video = view.querySelector("video"), stage = view.querySelector(".fv-stage");
const startButton = view.querySelector(".fv-live-start"), switchButton = view.querySelector(".fv-live-switch");
const emptyButton = view.querySelector(".fv-live-empty");
const message = view.querySelector(".fv-live-message"), answer = view.querySelector(".fv-live-card");
const fix = view.querySelector(".fv-fix"), saying = view.querySelector(".fv-live-said");
const canvas = document.createElement("canvas");
canvas.width = canvas.height = SIDE;

let held = false; // while frames are taken to teach from, none is answered
let stream = null, round = 0, cameras = [], chosen = 0, trouble = null;
// The place without fruit, and the last answer of a model: the server keeps neither.
let empty = null, memory = null, remembered = null;
const page = () => window.fruitvision || { language: "en", model: null };
const spoken = () => words[page().language] || words.en;
const say = (key) => spoken().dataset[key];

function label() {
  startButton.querySelector("span").textContent = say(stream ? "stop" : "start");
  switchButton.textContent = say("switch");
  emptyButton.textContent = say(empty ? "forget" : "empty");
  emptyButton.hidden = !stream;
  emptyButton.setAttribute("aria-pressed", String(Boolean(empty)));
  view.querySelector(".fv-live-hint").textContent = say(stream && empty ? "known" : "hint");
  video.setAttribute("aria-label", say("video"));
  message.textContent = trouble ? say(trouble) : "";
  stage.classList.toggle("fv-on", Boolean(stream));
  fix.querySelector("summary").textContent = say("fix");
  if (stream) return;
  answer.innerHTML = spoken().innerHTML;
  fix.open = false;
  fix.hidden = true;
  saying.textContent = shown = "";
}

function tell(key) {
  if (trouble === key) return;
  trouble = key;
  label();
}

async function start() {
  const mine = ++round;
  halt();
  if (!navigator.mediaDevices?.getUserMedia) return tell("insecure");
  const camera = cameras.length > 1 && chosen >= 0 && cameras[chosen]
    ? { deviceId: { exact: cameras[chosen] } } : { facingMode: { ideal: "environment" } };
  try {
    const opened = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 1280 }, ...camera } });
    if (mine !== round) return opened.getTracks().forEach((track) => track.stop());
    stream = opened;
    video.srcObject = stream;
    await video.play();
  } catch (error) {
    if (mine !== round) return; // stopped, or started anew, while the camera opened
    halt();
    return tell({ NotAllowedError: "denied", NotReadableError: "busy" }[error.name] || "none");
  }
  if (mine !== round) return;
  stream.getVideoTracks()[0].addEventListener("ended", () => { if (mine === round) { stop(); tell("none"); } });
  tell(null);
  guide();
  await find_cameras();
  label();
  run(mine);
}

async function find_cameras() {
  const found = (await navigator.mediaDevices.enumerateDevices()).filter((device) => device.kind === "videoinput");
  cameras = found.map((device) => device.deviceId);
  const current = stream?.getVideoTracks()[0]?.getSettings().deviceId;
  chosen = Math.max(cameras.indexOf(current), 0);
  switchButton.hidden = cameras.length < 2;
}

// The guide covers the same part of the picture that is sent, however the picture lies in its stage.
function guide() {
  const scale = Math.min(stage.clientWidth / video.videoWidth, stage.clientHeight / video.videoHeight);
  const side = Math.min(video.videoWidth, video.videoHeight) * scale * GUIDE;
  if (side > 0) stage.style.setProperty("--fv-side", `${side}px`);
}

function halt() {
  stream?.getTracks().forEach((track) => track.stop());
  stream = video.srcObject = null;
  empty = memory = null; // another camera, or the same one moved
}

function stop() {
  round += 1;
  halt();
  label();
}

async function run(mine) {
  while (mine === round && element.isConnected) {
    const began = performance.now();
    if (view.offsetParent === null) return stop(); // another panel is open: the camera's light goes out
    if (!document.hidden && !held && !fix.open && video.videoWidth) { // an answer that is being corrected stays
      try {
        const { model, language } = page();
        if (remembered !== model) memory = null;
        const taught = document.querySelector("#classify-use-taught input")?.checked !== false;
        const result = await server.answer_frame({ image: frame(), model, language, empty, memory, taught });
        if (mine !== round) return;
        if (held || fix.open) continue; // answered by what was known before the teaching that goes on
        memory = result.memory || null;
        remembered = model;
        show(result);
        tell(null);
      } catch {
        if (mine !== round) return;
        tell("lost");
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
    const rest = EVERY_MS - (performance.now() - began);
    await new Promise((resolve) => setTimeout(resolve, Math.max(rest, 30)));
  }
}

let offered = "", before = "", saidAt = -SAY_MS;
function show(result) {
  if (result.html !== shown) answer.innerHTML = shown = result.html;
  fix.hidden = !result.fix;
  if (result.fix && result.fix !== offered) fix.lastElementChild.innerHTML = offered = result.fix;
  const steady = result.said === before; // two answers alike
  before = result.said;
  if (!steady || result.said === saying.textContent || performance.now() - saidAt < SAY_MS) return;
  saying.textContent = result.said;
  saidAt = performance.now();
}

// What is inside the frame, as a small JPEG: what the person sees there is what the network gets.
function frame() {
  const side = Math.min(video.videoWidth, video.videoHeight) * GUIDE;
  const left = (video.videoWidth - side) / 2, top = (video.videoHeight - side) / 2;
  canvas.getContext("2d").drawImage(video, left, top, side, side, 0, 0, SIDE, SIDE);
  return canvas.toDataURL("image/jpeg", 0.9);
}

startButton.addEventListener("click", () => (stream ? stop() : start()));
emptyButton.addEventListener("click", () => { empty = empty ? null : frame(); memory = null; label(); });
switchButton.addEventListener("click", () => { chosen = (chosen + 1) % cameras.length; start(); });
// What teach.js needs of the camera. What is taught ends the memory of the answers before it.
view.camera = {
  on: () => Boolean(stream && video.videoWidth),
  start, frame,
  hold(on, words = "") { held = on; memory = null; if (on) message.textContent = words; else label(); },
};
new ResizeObserver(guide).observe(stage);
video.addEventListener("resize", guide);
window.addEventListener("fruitvision-words", label);
label();
