// Teaching: frames of the camera or pictures, one short call each. What it shares with other parts is in shared.js.
const FRAMES = 10, FEW_FRAMES = 5, EVERY_MS = 350, WARM_MS = 700, SIDE = 512;
const name = find(".fv-teach-name input"), list = find(".fv-taught-list");
const undo = find(".fv-taught-undo"), drop = find(".fv-teach-drop"), sure = find(".fv-taught-sure");
const frames = find(".fv-teach-frames"), one = find(".fv-teach-this");
let busy = false, token = ""; // what the server puts back is asked for by this
let spot = null; // where the answer's own correction says how far it is
new MutationObserver(() => { if (spot) spot.textContent = said.textContent; }).observe(said, { childList: true });

async function refresh() {
  const state = await ask("taught_state");
  part.hidden = !state;
  if (!state) return;
  speak();
  find("datalist").innerHTML = state.names;
  document.querySelector("#classify-use-taught")?.toggleAttribute("data-shown", state.kinds > 0);
  find(".fv-taught > summary").textContent = state.kinds ? say("list_counts", state) : say("list");
  const open = [...list.querySelectorAll("details[open]")].map((own) => own.dataset.name);
  list.innerHTML = state.html;
  for (const own of list.querySelectorAll("details")) {
    own.addEventListener("toggle", () => own.open && show(own));
    own.open = open.includes(own.dataset.name);
  }
  for (const button of [".fv-taught-export", ".fv-taught-over"]) find(button).disabled = !state.kinds && !state.html.includes("fv-wrong");
}

async function show(own) {
  const answer = await ask("taught_pictures", { name: own.dataset.name });
  if (answer) own.querySelector(".fv-taught-pictures").innerHTML = answer.html;
}

// The answers above may be others now.
async function changed() {
  undo.hidden = true;
  trigger("click");
  await refresh();
}

// Said where the eye is: beside the field, which gets the focus.
function misses_name(field, place) {
  utter(place, () => say("no_name"));
  field.setAttribute("aria-invalid", "true");
  field.addEventListener("input", () => { utter(place, ""); field.removeAttribute("aria-invalid"); }, { once: true });
  field.scrollIntoView({ block: "center" });
  field.focus({ preventScroll: true });
}

// One thing at a time; `work` returns what is said at the end.
async function at_work(work, needs_name = true) {
  if (busy) return;
  if (needs_name && !name.value.trim()) return misses_name(name, find(".fv-teach-missing"));
  busy = true;
  part.setAttribute("aria-busy", "true");
  try {
    await work();
  } finally {
    busy = false;
    part.removeAttribute("aria-busy");
  }
}

// What was learned of so many pictures, or frames of the camera; a name keeps the same picture once.
function sum_up({ name }, count, kept, camera = false) {
  const [some, none] = camera ? ["learned_same", "learned_still"] : ["learned_given", "learned_nothing"];
  tell(() => say(kept === count ? "learned" : kept ? some : none, { name, count, kept, same: count - kept }));
}

async function teach_all(pictures, wanted = name.value) {
  let learned = null, count = 0, kept = 0;
  for (const [number, picture] of pictures.entries()) {
    tell(() => say("seeing", { number: number + 1, all: pictures.length }));
    const image = await small(picture, SIDE);
    const answer = await ask("teach_picture", { name: wanted, image });
    if (!answer) break;
    learned = answer;
    count += 1;
    kept += answer.kept;
  }
  if (learned && count === pictures.length) sum_up(learned, count, kept);
  if (learned) await changed();
}

// The camera view, which the page makes when its tab is first opened; undefined where it does not come.
async function opened() {
  for (let tries = 0; tries < 100; tries += 1) {
    const live = document.querySelector(".fv-live");
    if (live?.camera && live.offsetParent !== null) return live.camera;
    await pause(50);
  }
}

async function take_frames(wanted, count) {
  document.querySelector("#classify-live-tab-button").click();
  const camera = await opened();
  if (camera && !camera.on()) {
    await camera.start();
    await pause(WARM_MS);
  }
  if (!camera?.on()) return tell(() => say("no_camera"), true);
  document.querySelector(".fv-stage").scrollIntoView({ block: "center", behavior: "smooth" });
  let learned = null, number = 0, kept = 0;
  try {
    while (number < count && camera.on()) {
      const began = performance.now(), turn = { number: number + 1, all: count };
      camera.hold(true, say("turn", turn));
      tell(() => say("turn", turn));
      const answer = await ask("teach_picture", { name: wanted, image: camera.frame() });
      if (!answer) break;
      learned = answer;
      number += 1;
      kept += answer.kept;
      if (number < count) await pause(EVERY_MS - (performance.now() - began));
    }
  } finally {
    camera.hold(false);
  }
  if (learned && number === count) sum_up(learned, number, kept, true);
  else if (learned && !said.classList.contains("fv-wrong")) tell(() => say("frames_left", { number }));
  if (learned) await changed();
}

async function teach_shown(wanted) {
  const shown = document.querySelector("#classify-picture img");
  if (!shown || shown.offsetParent === null) return tell(() => say("no_picture"), true);
  await teach_all([shown], wanted);
}

frames.addEventListener("click", () => at_work(() => take_frames(name.value, FRAMES)));
one.addEventListener("click", () => at_work(() => teach_shown(name.value)));

// "Not right?" in an answer: what it is instead, of the picture or of the next frames of the camera.
function correct(fix, wanted) {
  const live = fix.closest(".fv-live");
  spot = fix.querySelector(".fv-fix-said");
  if (!wanted.trim()) return misses_name(fix.querySelector("input"), spot);
  at_work(async () => {
    fix.open = !live;
    await (live ? take_frames(wanted, FEW_FRAMES) : teach_shown(wanted));
  }, false);
}

window.fruitvisionCorrect = correct;
if (!window.fruitvisionCorrects) {
  window.fruitvisionCorrects = true;
  document.addEventListener("click", (event) => {
    const own = event.target.closest?.(".fv-fix [data-teach]");
    if (own) window.fruitvisionCorrect(own.closest(".fv-fix"), own.dataset.teach);
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
  await at_work(() => teach_all(files));
});
droppable(drop, (event) => at_work(() => teach_all([...event.dataTransfer.files])));

list.addEventListener("click", (event) => {
  const { forgetPicture: picture, forgetName: forgotten } = event.target.closest("button")?.dataset || {};
  if (!picture && !forgotten) return;
  at_work(async () => {
    const answer = await ask("take_back", picture ? { picture } : { name: forgotten });
    if (!answer) return;
    if (!answer.count) { // in another tab: what was removed here before can still be put back
      tell(() => say(answer.word));
      return refresh();
    }
    tell("");
    await forgot();
    token = answer.undo;
    undo.hidden = false; // before its words: what is hidden is not announced
    utter(undo.querySelector("span"), () => say(answer.word, answer));
    undo.querySelector("button").hidden = !token;
    undo.querySelector("button").focus();
  }, false);
});
undo.querySelector("button").addEventListener("click", () => at_work(async () => {
  if (await ask("put_back", { undo: token })) { tell(""); await forgot(); }
}, false));

async function forgot() {
  document.querySelector(".fv-live")?.camera?.hold(false);
  await changed();
}

find(".fv-taught-over").addEventListener("click", () => { sure.hidden = false; find(".fv-taught-no").focus(); });
find(".fv-taught-no").addEventListener("click", () => { sure.hidden = true; });
find(".fv-taught-yes").addEventListener("click", () => at_work(async () => {
  sure.hidden = true;
  if (await ask("start_over")) { tell(""); await forgot(); }
}, false));
find(".fv-taught-export").addEventListener("click", () => at_work(async () => {
  const answer = await ask("export_taught");
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
  await at_work(async () => {
    const answer = await ask("import_taught", { file: await base64(file), called: file.name });
    if (answer) { await forgot(); tell(() => say(answer.word, answer)); }
  }, false);
  imported.value = "";
});

window.addEventListener("fruitvision-words", refresh);
window.addEventListener("fruitvision-restarted", refresh);
refresh();
