// Teaching: frames of the camera, or pictures, each in a short call of its own. The shared functions are in shared.js.
const FRAMES = 10, FEW_FRAMES = 5, EVERY_MS = 350, WARM_MS = 700, SIDE = 512;
const name = find(".fv-teach-name input"), list = find(".fv-taught-list");
const undo = find(".fv-taught-undo"), drop = find(".fv-teach-drop"), sure = find(".fv-taught-sure");
const frames = find(".fv-teach-frames"), one = find(".fv-teach-this");
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

// Shows how many of `count` pictures, or frames of the camera, were new: a name keeps identical pictures once.
function showSummary({ name }, count, kept, camera = false) {
  const [some, none] = camera ? ["learned_same", "learned_still"] : ["learned_given", "learned_nothing"];
  showStatus(() => say(kept === count ? "learned" : kept ? some : none, { name, count, kept, same: count - kept }));
}

async function teachPictures(pictures, wanted = name.value) {
  let learned = null, count = 0, kept = 0;
  for (const [number, picture] of pictures.entries()) {
    showStatus(() => say("seeing", { number: number + 1, all: pictures.length }));
    const image = await smallJpeg(picture, SIDE);
    const answer = await callServer("teach_picture", { name: wanted, image });
    if (!answer) break;
    learned = answer;
    count += 1;
    kept += answer.kept;
  }
  if (learned && count === pictures.length) showSummary(learned, count, kept);
  if (learned) await changed();
  return kept === 1 && !learned.moved ? learned : null;
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
  let learned = null, number = 0, kept = 0;
  try {
    while (number < count && camera.on()) {
      const began = performance.now(), turn = { number: number + 1, all: count };
      camera.hold(true, say("turn", turn));
      showStatus(() => say("turn", turn));
      const answer = await callServer("teach_picture", { name: wanted, image: camera.frame() });
      if (!answer) break;
      learned = answer;
      number += 1;
      kept += answer.kept;
      if (number < count) await pause(EVERY_MS - (performance.now() - began));
    }
  } finally {
    camera.hold(false);
  }
  if (learned && number === count) showSummary(learned, number, kept, true);
  else if (learned && !statusLine.classList.contains("fv-wrong")) showStatus(() => say("frames_left", { number }));
  if (learned) await changed();
}

async function teachShownPicture(wanted) {
  const shown = document.querySelector("#classify-picture img");
  if (!shown || shown.offsetParent === null) return showStatus(() => say("no_picture"), true);
  return teachPictures([shown], wanted);
}

// After a correction the next answers to the same picture offer to undo it.
let correction = null; // {learned, picture: the address of the picture, place: of the answer}
function offerUndo() {
  if (correction && document.querySelector("#classify-picture img")?.src !== correction.picture) correction = null;
  const title = correction?.place.querySelector(".fv-name");
  if (!title || correction.place.querySelector(".fv-fix-undo")) return;
  const line = document.createElement("p"), button = document.createElement("button"), { learned } = correction;
  line.className = "fv-fix-undo";
  button.type = "button";
  button.textContent = say("undo");
  button.addEventListener("click", () => runExclusive(async () => {
    if (!await callServer("take_back", { picture: learned.picture })) return;
    correction = null;
    line.remove();
    showStatus("");
    await afterRemoval();
  }, false));
  line.append(say("learned_here", learned), " ", button);
  title.after(line);
}
const answers = new MutationObserver(offerUndo);

frames.addEventListener("click", () => runExclusive(() => teachFrames(name.value, FRAMES)));
one.addEventListener("click", () => runExclusive(() => teachShownPicture(name.value)));

// "Not right?" below an answer: teaches the correct name, with the picture or with the next frames of the camera.
function correct(fix, wanted) {
  const live = fix.closest(".fv-live");
  correctionStatus = fix.querySelector(".fv-fix-said");
  if (!wanted.trim()) return showMissingName(fix.querySelector("input"), correctionStatus);
  runExclusive(async () => {
    fix.open = !live;
    const learned = await (live ? teachFrames(wanted, FEW_FRAMES) : teachShownPicture(wanted));
    if (!learned) return; // frames of the camera are taken back in the list
    const place = document.querySelector("#classify-answer");
    correction = { learned, place, picture: document.querySelector("#classify-picture img")?.src };
    answers.observe(place, { childList: true, subtree: true });
    offerUndo();
    place.scrollIntoView({ block: "nearest" });
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
