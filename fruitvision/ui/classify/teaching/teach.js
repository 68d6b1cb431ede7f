// Teaching: frames of the camera, or pictures, each in a short call of its own. The shared functions are in shared.js.
const FRAMES = 10, FEW_FRAMES = 5, EVERY_MS = 350, WARM_MS = 700, SIDE = 512;
const SETTLE_MS = 3000; // after so long the live view's answer has settled, and another one is about something else
const name = find(".fv-teach-name input"), list = find(".fv-taught-list");
const undo = find(".fv-taught-undo"), drop = find(".fv-teach-drop"), sure = find(".fv-taught-sure");
const frames = find(".fv-teach-frames"), one = find(".fv-teach-this"), undoLesson = find(".fv-teach-undo");
let busy = false, token = ""; // identifies the removal that "undo" reverts
let correctionStatus = null; // the status line of the correction below an answer, which repeats the messages
new MutationObserver(() => { if (correctionStatus) correctionStatus.textContent = statusLine.textContent; }).observe(statusLine, { childList: true });

async function refresh() {
  const state = await callServer("taught_state");
  part.hidden = !state;
  if (!state) return;
  translate();
  find("datalist").innerHTML = state.names;
  document.querySelector("#classify-use-taught")?.toggleAttribute("data-shown", state.kinds > 0);
  find(".fv-taught > summary").textContent = state.kinds ? say("list_counts", state) : say("list");
  const open = [...list.querySelectorAll("details[open]")].map((details) => details.dataset.name);
  list.innerHTML = state.html;
  for (const details of list.querySelectorAll("details")) {
    details.addEventListener("toggle", () => details.open && showPictures(details));
    details.open = open.includes(details.dataset.name);
  }
  for (const button of [".fv-taught-export", ".fv-taught-over"]) find(button).disabled = !state.kinds && !state.html.includes("fv-wrong");
}

async function showPictures(details) {
  const answer = await callServer("taught_pictures", { name: details.dataset.name });
  if (answer) details.querySelector(".fv-taught-pictures").innerHTML = answer.html;
}

// The answers may differ from now on.
async function changed() {
  undo.hidden = true;
  trigger("click");
  await refresh();
}

// Shows the error beside the field, and focuses the field.
function showMissingName(field, place) {
  setMessage(place, () => say("no_name"));
  field.setAttribute("aria-invalid", "true");
  field.addEventListener("input", () => { setMessage(place, ""); field.removeAttribute("aria-invalid"); }, { once: true });
  field.scrollIntoView({ block: "center" });
  field.focus({ preventScroll: true });
}

// Runs one task at a time; further ones are ignored meanwhile.
async function runExclusive(work, needsName = true) {
  if (busy) return;
  if (needsName && !name.value.trim()) return showMissingName(name, find(".fv-teach-missing"));
  busy = true;
  part.setAttribute("aria-busy", "true");
  try {
    await work();
  } finally {
    busy = false;
    part.removeAttribute("aria-busy");
  }
}

// A lesson: pictures that were taught together, and are taken back together. `place`: where it is confirmed besides the section itself.
let lesson = null; // the last one
const shownPicture = () => document.querySelector("#classify-picture img");
function newLesson(place = null, camera = false) {
  endLesson();
  return { place, camera, count: 0, kept: [], former: {} };
}

// Teaches one picture; returns whether that succeeded.
async function teachOne(own, wanted, image) {
  const answer = await callServer("teach_picture", { name: wanted, image });
  if (!answer) return false;
  const { former, picture } = answer;
  Object.assign(own, { name: answer.name, taught: answer.taught, count: own.count + 1 });
  if (answer.kept) own.kept.push({ picture, former });
  if (former) own.former[former] = { former: answer.former_name, moved: (own.former[former]?.moved ?? 0) + 1, left: answer.left };
  return true;
}

// What follows the sentence that it was learned: which names had the pictures before, and that the switch is on again.
function consequences({ former, switchedOn }) {
  const moved = Object.values(former).map((facts) => say(facts.left ? "moved" : "moved_all", facts));
  return switchedOn ? [...moved, say("switched_on", { switch: useTaught.label() })] : moved;
}
const joined = (...sentences) => sentences.join(page().language === "zh" ? "" : " ");

// How many of the pictures, or frames of the camera, were new: a name keeps identical pictures once.
function summary({ name, count, kept: { length: kept }, camera }) {
  const [some, none] = camera ? ["learned_same", "learned_still"] : ["learned_given", "learned_nothing"];
  return say(kept === count ? "learned" : kept ? some : none, { name, count, kept, same: count - kept });
}

// The switch that leaves taught names out of the answers. Teaching switches it on: otherwise nothing of it would be seen.
const useTaught = {
  box: () => document.querySelector("#classify-use-taught input"),
  label: () => document.querySelector("#classify-use-taught label")?.textContent.trim() ?? "",
  switchOn() {
    const off = this.box()?.checked === false;
    if (off) this.box().click();
    return off;
  },
};

// `words`: what is said in this section; without them, its status stays.
async function finishLesson(own, words) {
  if (!own.count) return;
  own.switchedOn = useTaught.switchOn();
  if (words) showStatus(() => joined(words(), ...consequences(own)));
  await changed();
  lesson = Object.assign(own, { source: shownPicture()?.src });
  undoLesson.hidden = !own.kept.length;
  answers.observe(document.querySelector("#classify-answer"), { childList: true, subtree: true });
  confirmLesson();
}

async function teachPictures(pictures, wanted = name.value, place = null) {
  const own = newLesson(place);
  for (const [number, picture] of pictures.entries()) {
    showStatus(() => say("seeing", { number: number + 1, all: pictures.length }));
    if (!await teachOne(own, wanted, await smallJpeg(picture, SIDE))) break;
  }
  await finishLesson(own, own.count === pictures.length && (() => summary(own)));
}

// The camera of the live view, which is mounted when its tab is first opened; undefined if it does not appear.
async function liveCamera() {
  for (let tries = 0; tries < 100; tries += 1) {
    const live = document.querySelector(".fv-live");
    if (live?.camera && live.offsetParent !== null) return live.camera;
    await pause(50);
  }
}

async function teachFrames(wanted, count) {
  document.querySelector("#classify-live-tab-button").click();
  const camera = await liveCamera();
  if (camera && !camera.on()) {
    await camera.start();
    await pause(WARM_MS);
  }
  if (!camera?.on()) return showStatus(() => say("no_camera"), true);
  document.querySelector(".fv-stage").scrollIntoView({ block: "center", behavior: "smooth" });
  const own = newLesson(".fv-live-learned", true);
  try {
    while (own.count < count && camera.on()) {
      const began = performance.now(), turn = { number: own.count + 1, all: count };
      camera.hold(true, say("turn", turn));
      showStatus(() => say("turn", turn));
      if (!await teachOne(own, wanted, camera.frame())) break;
      if (own.count < count) await pause(EVERY_MS - (performance.now() - began));
    }
  } finally {
    camera.hold(false);
  }
  const failed = statusLine.classList.contains("fv-wrong"), stopped = () => say("frames_left", { number: own.count });
  await finishLesson(own, own.count === count ? () => summary(own) : !failed && stopped);
}

async function teachShownPicture(wanted) {
  const shown = shownPicture();
  if (!shown || shown.offsetParent === null) return showStatus(() => say("no_picture"), true);
  return teachPictures([shown], wanted, "#classify-answer .fv-name");
}

// A lesson is confirmed in the answer too, with a button that takes it back. Gradio replaces the answer to a picture on every change:
// the line is then added again, until there is another picture.
function confirmLesson() {
  if (!lesson) return;
  if (shownPicture()?.src !== lesson.source) {
    if (!busy) showStatus("");
    return endLesson();
  }
  const place = lesson.place && document.querySelector(lesson.place);
  if (!place || document.querySelector(".fv-fix-undo")) return;
  if (!lesson.camera) return lesson.kept.length && place.after(confirmation(lesson));
  const line = confirmation(lesson);
  place.replaceChildren(line);
  line.scrollIntoView({ block: "nearest" });
  lesson.place = null; // the live view keeps it
  removeWhenSettled(line, place.parentElement);
}

function confirmation(own) {
  const line = document.createElement("p"), words = document.createElement("span"), button = document.createElement("button");
  line.className = "fv-fix-undo";
  line.append(words, " ", button);
  const learned = () => (own.kept.length ? say("learned_here", own) : summary(own));
  setMessage(words, () => joined(learned(), ...consequences(own)));
  button.type = "button";
  button.hidden = !own.kept.length;
  setMessage(button, () => say("undo"));
  button.addEventListener("click", () => takeBackLesson(words));
  return line;
}

function takeBackLesson(words = null) {
  runExclusive(async () => {
    const answer = await callServer("take_back_lesson", { name: lesson.taught, pictures: lesson.kept });
    if (!answer) return words && setMessage(words, statusLine.textContent);
    const fix = words?.closest(".fv-live, #classify-answer")?.querySelector(".fv-fix:not([hidden]) > summary");
    await afterRemoval();
    showStatus(answer.count ? "" : () => say("removed_nothing"));
    (fix?.isConnected ? fix : name).focus({ preventScroll: true });
  }, false);
}

function endLesson() {
  lesson = null;
  undoLesson.hidden = true;
  for (const line of document.querySelectorAll(".fv-fix-undo")) line.remove();
}

// In the live view the line goes once the settled answer has been another one for as long. The button of the section stays.
async function removeWhenSettled(line, view) {
  const title = () => view.querySelector(".fv-live-card .fv-name")?.textContent;
  await pause(SETTLE_MS);
  const settled = title();
  for (let since = performance.now(); line.isConnected && performance.now() - since < SETTLE_MS;) {
    if (title() === settled) since = performance.now();
    await pause(EVERY_MS);
  }
  line.remove();
}
const answers = new MutationObserver(confirmLesson);
undoLesson.addEventListener("click", () => takeBackLesson());

frames.addEventListener("click", () => runExclusive(() => teachFrames(name.value, FRAMES)));
one.addEventListener("click", () => runExclusive(() => teachShownPicture(name.value)));

// "Not right?" below an answer: teaches the correct name, with the picture or with the next frames of the camera.
function correct(fix, wanted) {
  const live = fix.closest(".fv-live");
  correctionStatus = fix.querySelector(".fv-fix-said");
  if (!wanted.trim()) return showMissingName(fix.querySelector("input"), correctionStatus);
  runExclusive(async () => {
    fix.open = !live;
    await (live ? teachFrames(wanted, FEW_FRAMES) : teachShownPicture(wanted));
    fix.open ||= statusLine.classList.contains("fv-wrong"); // the error is in it
    if (!lesson) return;
    if (live) { // it is said above
      setMessage(correctionStatus, "");
      correctionStatus = null;
    } else document.querySelector("#classify-answer").scrollIntoView({ block: "nearest" });
  }, false);
}

window.fruitvisionCorrect = correct;
if (!window.fruitvisionCorrectReady) {
  window.fruitvisionCorrectReady = true;
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.(".fv-fix [data-teach]");
    if (button) window.fruitvisionCorrect(button.closest(".fv-fix"), button.dataset.teach);
  });
  document.addEventListener("submit", (event) => {
    const form = event.target.closest?.(".fv-fix-other");
    if (!form) return;
    event.preventDefault();
    window.fruitvisionCorrect(form.closest(".fv-fix"), form.querySelector("input").value);
  });
}

const chosen = find(".fv-teach-drop input");
chosen.addEventListener("change", async () => {
  const files = [...chosen.files];
  chosen.value = "";
  await runExclusive(() => teachPictures(files));
});
makeDropZone(drop, (event) => runExclusive(() => teachPictures([...event.dataTransfer.files])));

list.addEventListener("click", (event) => {
  const { forgetPicture: picture, forgetName: forgotten } = event.target.closest("button")?.dataset || {};
  if (!picture && !forgotten) return;
  runExclusive(async () => {
    const answer = await callServer("take_back", picture ? { picture } : { name: forgotten });
    if (!answer) return;
    if (!answer.count) { // already removed in another tab: the last removal here can still be undone
      showStatus(() => say(answer.word));
      return refresh();
    }
    showStatus("");
    await afterRemoval();
    token = answer.undo;
    undo.hidden = false; // before its text is set: screen readers do not announce hidden elements
    setMessage(undo.querySelector("span"), () => say(answer.word, answer));
    undo.querySelector("button").hidden = !token;
    undo.querySelector("button").focus();
  }, false);
});
undo.querySelector("button").addEventListener("click", () => runExclusive(async () => {
  if (await callServer("put_back", { undo: token })) { showStatus(""); await afterRemoval(); }
}, false));

async function afterRemoval() {
  endLesson();
  document.querySelector(".fv-live")?.camera?.hold(false);
  await changed();
}

find(".fv-taught-over").addEventListener("click", () => { sure.hidden = false; find(".fv-taught-no").focus(); });
find(".fv-taught-no").addEventListener("click", () => { sure.hidden = true; });
find(".fv-taught-yes").addEventListener("click", () => runExclusive(async () => {
  sure.hidden = true;
  if (await callServer("start_over")) { showStatus(""); await afterRemoval(); }
}, false));
find(".fv-taught-export").addEventListener("click", () => runExclusive(async () => {
  const answer = await callServer("export_taught");
  if (!answer) return;
  const link = document.createElement("a");
  link.href = `data:application/zip;base64,${answer.file}`;
  link.download = answer.name;
  link.click();
}, false));
const imported = find(".fv-taught-import input");
imported.addEventListener("change", async () => {
  const [file] = imported.files;
  if (!file) return;
  await runExclusive(async () => {
    const answer = await callServer("import_taught", { file: await base64(file), called: file.name });
    if (answer) { await afterRemoval(); showStatus(() => say(answer.word, answer)); }
  }, false);
  imported.value = "";
});

window.addEventListener("fruitvision-header-change", refresh);
window.addEventListener("fruitvision-server-restarted", refresh);
refresh();
