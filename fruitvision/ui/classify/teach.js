// Teaching: frames of the camera or pictures, one short call each. `element`, `server` and `trigger` come from gr.HTML.
// Only the owner's server answers; for a visitor the part stays hidden.
const FRAMES = 10, EVERY_MS = 350, WARM_MS = 700, SIDE = 512;
const part = element.querySelector(".fv-teach");
const words = Object.fromEntries([...part.querySelectorAll("template")].map((t) => [t.dataset.language, t.dataset]));
const find = (selector) => part.querySelector(selector);
const name = find(".fv-teach-name input"), said = find(".fv-teach-said"), list = find(".fv-taught-list");
const drop = find(".fv-teach-drop"), sure = find(".fv-taught-sure");
const frames = find(".fv-teach-frames"), one = find(".fv-teach-this");
let busy = false;

const page = () => window.fruitvision || { language: "en", model: null };
const key = (word) => word.replace(/_(.)/g, (_, letter) => letter.toUpperCase());
const say = (word, facts = {}) =>
  (words[page().language] || words.en)[key(word)].replace(/\{(\w+)\}/g, (whole, fact) => facts[fact] ?? whole);

function tell(text, wrong = false) {
  said.textContent = text;
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
    tell(say("lost"), true);
    return null;
  }
}

async function refresh() {
  const state = await ask("taught_state");
  part.hidden = !state;
  if (!state) return;
  for (const own of part.querySelectorAll("[data-say]")) own.textContent = say(own.dataset.say);
  name.placeholder = say("name_hint");
  find("datalist").innerHTML = state.names;
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
  trigger("click");
  await refresh();
}

// One thing at a time; `work` returns what is said at the end.
async function at_work(work, needs_name = true) {
  if (busy) return;
  if (needs_name && !name.value.trim()) {
    tell(say("no_name"), true);
    return name.focus();
  }
  busy = true;
  part.setAttribute("aria-busy", "true");
  try {
    await work();
  } finally {
    busy = false;
    part.removeAttribute("aria-busy");
  }
}

async function teach_all(pictures) {
  const wanted = name.value;
  let learned = null, count = 0;
  for (const [number, picture] of pictures.entries()) {
    tell(say("seeing", { number: number + 1, all: pictures.length }));
    const image = await small(picture);
    const answer = await ask("teach_picture", { name: wanted, image });
    if (!answer) break;
    learned = answer;
    count += 1;
  }
  if (learned && count === pictures.length) tell(say("learned", { name: learned.name, count }));
  if (learned) await changed();
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, Math.max(ms, 0)));

// The camera view, which the page makes when its tab is first opened; undefined where it does not come.
async function opened() {
  for (let tries = 0; tries < 100; tries += 1) {
    const live = document.querySelector(".fv-live");
    if (live?.camera && live.offsetParent !== null) return live.camera;
    await pause(50);
  }
}

async function take_frames() {
  const wanted = name.value;
  document.querySelector("#classify-live-tab-button").click();
  const camera = await opened();
  if (camera && !camera.on()) {
    await camera.start();
    await pause(WARM_MS);
  }
  if (!camera?.on()) return tell(say("no_camera"), true);
  document.querySelector(".fv-stage").scrollIntoView({ block: "center", behavior: "smooth" });
  let learned = null, number = 0;
  try {
    while (number < FRAMES && camera.on()) {
      const began = performance.now(), turn = say("turn", { number: number + 1, all: FRAMES });
      camera.hold(true, turn);
      tell(turn);
      const answer = await ask("teach_picture", { name: wanted, image: camera.frame() });
      if (!answer) break;
      learned = answer;
      number += 1;
      if (number < FRAMES) await pause(EVERY_MS - (performance.now() - began));
    }
  } finally {
    camera.hold(false);
  }
  if (learned && number === FRAMES) tell(say("learned", { name: learned.name, count: number }));
  else if (learned && !said.classList.contains("fv-wrong")) tell(say("frames_left", { number }));
  if (learned) await changed();
}

// A picture of any size, upright, as a small JPEG; what the browser cannot read goes as it is, to be refused in words.
async function small(picture) {
  try {
    const bitmap = await createImageBitmap(picture);
    const scale = Math.min(SIDE / Math.min(bitmap.width, bitmap.height), 1);
    const canvas = document.createElement("canvas");
    canvas.width = Math.max(Math.round(bitmap.width * scale), 1);
    canvas.height = Math.max(Math.round(bitmap.height * scale), 1);
    const pen = canvas.getContext("2d");
    pen.fillStyle = "#fff"; // what is transparent lies on white, as everywhere here
    pen.fillRect(0, 0, canvas.width, canvas.height);
    pen.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    return canvas.toDataURL("image/jpeg", 0.92);
  } catch {
    return picture instanceof Blob && picture.size <= 10 * 2 ** 20 ? `data:image/x;base64,${await base64(picture)}` : "";
  }
}

async function base64(blob) {
  const url = await new Promise((resolve) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.readAsDataURL(blob);
  });
  return url.slice(url.indexOf(",") + 1);
}

frames.addEventListener("click", () => at_work(take_frames));
one.addEventListener("click", () => at_work(async () => {
  const shown = document.querySelector("#classify-picture img");
  if (!shown || shown.offsetParent === null) return tell(say("no_picture"), true);
  await teach_all([shown]);
}));
const chosen = find(".fv-teach-drop input");
chosen.addEventListener("change", async () => {
  const files = [...chosen.files];
  chosen.value = "";
  await at_work(() => teach_all(files));
});
for (const kind of ["dragenter", "dragover"]) drop.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.add("fv-over"); });
for (const kind of ["dragleave", "drop"]) drop.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.remove("fv-over"); });
drop.addEventListener("drop", (event) => at_work(() => teach_all([...event.dataTransfer.files])));

list.addEventListener("click", (event) => {
  const { forgetPicture: picture, forgetName: forgotten } = event.target.closest("button")?.dataset || {};
  if (!picture && !forgotten) return;
  at_work(async () => { if (await ask("take_back", picture ? { picture } : { name: forgotten })) { tell(""); await forgot(); } }, false);
});

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
    if (answer) { await forgot(); tell(answer.said); }
  }, false);
  imported.value = "";
});

window.addEventListener("fruitvision-words", refresh);
refresh();
