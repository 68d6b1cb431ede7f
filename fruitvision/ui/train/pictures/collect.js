// Collecting: frames of the camera while "Record" is held, or pictures, a few to a call. What is shared is in shared.js.
const EVERY_MS = 250, SIDE = 320, DROP_SIDE = 512, AT_ONCE = 8, MOST_SHOWN = 24, CLICK_MS = 3000, USE_MS = 1500;
const SEEN = 0.8; // of the picture's short side: what the live view looks at
const GREY = 16, SAME = 2, COMPARED = 40; // two frames are the same where 16 × 16 greys differ by less on average
const list = find(".fv-kinds"), template = find(".fv-kind-template"), use = find(".fv-collect-use"), taught = find(".fv-collect-taught");
const canvas = Object.assign(document.createElement("canvas"), { width: SIDE, height: SIDE });
const little = Object.assign(document.createElement("canvas"), { width: GREY, height: GREY });
let stream = null, recording = null, waiting = 0, line = Promise.resolve();

// Cards -----------------------------------------------------------------------------------------------------------

class Kind {
  constructor(name = "", count = 0) {
    this.card = template.content.firstElementChild.cloneNode(true);
    this.saved = name; // as the server calls it, where it has pictures
    this.count = count;
    this.frames = []; // the last ones recorded, as little grey pictures
    this.last = () => ""; // what became of the pictures that came last
    const get = (selector) => this.card.querySelector(selector);
    [this.name, this.record, this.video] = [get("input[type=text]"), get(".fv-kind-record"), get("video")];
    [this.pictures, this.counted, this.stage] = [get(".fv-kind-pictures"), get(".fv-kind-count"), get(".fv-kind-video")];
    this.name.value = name;
    list.append(this.card);
    speak(this.card);
    this.label();
    this.name.addEventListener("change", () => queue(() => this.rename()));
    get(".fv-kind-forget").addEventListener("click", () => queue(() => this.forget()));
    this.pictures.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button) queue(() => this.take_out(button.parentElement));
    });
    const chosen = get("input[type=file]"), drop = get(".fv-kind-drop");
    chosen.addEventListener("change", () => {
      const files = [...chosen.files];
      chosen.value = "";
      queue(() => this.add_files(files));
    });
    droppable(drop, (event) => { const files = [...event.dataTransfer.files]; queue(() => this.add_files(files)); });
    this.record.addEventListener("pointerdown", (event) => { this.record.setPointerCapture(event.pointerId); record(this); });
    for (const end of ["pointerup", "pointercancel"]) this.record.addEventListener(end, () => stop(this));
    this.record.addEventListener("keydown", (event) => {
      if ((event.key === " " || event.key === "Enter") && !event.repeat) { event.preventDefault(); record(this); }
    });
    this.record.addEventListener("keyup", () => stop(this));
    this.record.addEventListener("blur", () => stop(this));
    // A screen reader's click has neither pointer nor key: it records for a few seconds.
    this.record.addEventListener("click", (event) => {
      if (event.detail === 0 && recording !== this) { record(this); setTimeout(() => stop(this), CLICK_MS); }
    });
    this.record.addEventListener("contextmenu", (event) => event.preventDefault()); // of a finger that stays
  }

  // The name to save under: what was typed, or "Kind 2" where a person goes straight to the camera.
  named() {
    if (!this.name.value.trim()) {
      let number = kinds.indexOf(this) + 1;
      const taken = new Set(kinds.map((kind) => kind.name.value.trim().toLowerCase()));
      while (taken.has(say("kind", { number }).toLowerCase())) number += 1;
      this.name.value = say("kind", { number });
    }
    return this.saved || this.name.value.trim();
  }

  label() {
    this.counted.textContent = [this.count ? say("count", { count: this.count }) : "", this.last()].filter(Boolean).join(" · ");
    this.record.textContent = say(recording === this ? "recording" : "record");
    this.record.classList.toggle("fv-on", recording === this);
  }

  show(id, url) {
    const figure = document.createElement("figure"), image = document.createElement("img"), button = document.createElement("button");
    figure.dataset.picture = id;
    Object.assign(image, { src: url, alt: "" });
    Object.assign(button, { type: "button", textContent: "×", title: say("forget_picture") });
    button.setAttribute("aria-label", say("forget_picture"));
    figure.append(image, button);
    this.pictures.prepend(figure);
    while (this.pictures.childElementCount > MOST_SHOWN) this.pictures.lastElementChild.remove();
  }

  async add(images) {
    const answer = await ask("collect_add", { name: this.named(), images });
    if (!answer) return { came: 0, kept: 0 };
    this.saved = answer.name;
    if (!document.activeElement?.isSameNode(this.name)) this.name.value = answer.name;
    this.count = answer.count;
    for (const [number, id] of answer.ids.entries()) {
      if (id) for (const other of list.querySelectorAll(`figure[data-picture="${id}"]`)) other.remove();
      if (id) this.show(id, images[number]);
    }
    this.label();
    if (answer.refused) tell(answer.refused, true);
    changed();
    return { came: answer.ids.filter(Boolean).length, kept: answer.kept };
  }

  // Says on the card what became of so many pictures, where not all of them were kept.
  sum_up(word, count, kept) {
    this.last = () => (kept < count ? say(word, { count, same: count - kept, kept }) : "");
    this.label();
  }

  async add_files(files) {
    let added = 0, few = [], fresh = 0;
    for (const [number, file] of files.entries()) {
      tell(() => say("adding", { number: number + 1, all: files.length }));
      const image = await small(file, DROP_SIDE);
      few.push(image);
      if (few.length < AT_ONCE && number + 1 < files.length) continue;
      const { came, kept } = await this.add(few);
      fresh += kept;
      if (!came && said.classList.contains("fv-wrong") && few.length === AT_ONCE) return;
      [added, few] = [added + came, []];
    }
    if (added === files.length) tell("");
    this.sum_up("given", added, fresh);
  }

  async rename() {
    if (!this.saved || this.name.value.trim() === this.saved) return;
    const answer = this.name.value.trim() && await ask("collect_rename", { name: this.saved, to: this.name.value });
    if (!answer) this.name.value = this.saved;
    else if (kinds.some((kind) => kind !== this && kind.saved.toLowerCase() === answer.name.toLowerCase())) return refresh();
    else this.saved = this.name.value = answer.name;
    changed();
  }

  async forget() {
    if (this.saved && !await ask("collect_remove", { name: this.saved })) return;
    this.card.remove();
    kinds.splice(kinds.indexOf(this), 1);
    changed();
  }

  async take_out(figure) {
    if (!await ask("collect_remove", { picture: figure.dataset.picture })) return;
    figure.remove();
    this.count -= 1;
    if (!this.count) this.saved = "";
    this.label();
    changed();
  }
}

const kinds = [];

// One call after another, in the order in which they were asked for.
function queue(work) {
  line = line.then(work).catch((error) => tell(String(error), true));
  return line;
}

// The camera ------------------------------------------------------------------------------------------------------

async function record(kind) {
  if (recording) return;
  recording = kind;
  kind.label();
  kind.stage.hidden = false;
  try {
    stream = stream?.active ? stream : await navigator.mediaDevices.getUserMedia(
      { video: { width: { ideal: 1280 }, facingMode: { ideal: "environment" } } });
    kind.video.srcObject = stream;
    await kind.video.play();
  } catch {
    recording = stream = null;
    kind.stage.hidden = true;
    kind.label();
    return tell(() => say("no_camera"), true);
  }
  tell("");
  let frames = [], dropped = 0, sent = 0, fresh = 0;
  const send = () => {
    const some = frames.splice(0, AT_ONCE);
    waiting += some.length;
    queue(async () => {
      const { came, kept } = await kind.add(some);
      [sent, fresh, waiting] = [sent + came, fresh + kept, waiting - some.length];
    });
  };
  while (recording === kind) {
    const began = performance.now(), frame = taken(kind);
    if (frame) frames.push(frame);
    else if (kind.video.videoWidth && ++dropped % 8 === 0) tell(() => say("same"));
    if (frames.length >= 4 && waiting < 4 * AT_ONCE) send();
    await pause(EVERY_MS - (performance.now() - began));
  }
  while (frames.length) send();
  queue(() => kind.sum_up("taken", sent + dropped, fresh));
}

// The middle of what the camera sees, as a JPEG; null where it is nearly a frame that was taken already.
function taken(kind) {
  const { video } = kind, side = Math.min(video.videoWidth, video.videoHeight) * SEEN;
  if (!side) return null;
  const place = [(video.videoWidth - side) / 2, (video.videoHeight - side) / 2, side, side];
  canvas.getContext("2d").drawImage(video, ...place, 0, 0, SIDE, SIDE);
  const pen = little.getContext("2d", { willReadFrequently: true });
  pen.drawImage(canvas, 0, 0, GREY, GREY);
  const { data } = pen.getImageData(0, 0, GREY, GREY), grey = new Float32Array(GREY * GREY);
  for (let n = 0; n < grey.length; n += 1) grey[n] = 0.299 * data[4 * n] + 0.587 * data[4 * n + 1] + 0.114 * data[4 * n + 2];
  const same = (other) => other.reduce((sum, value, n) => sum + Math.abs(value - grey[n]), 0) < SAME * grey.length;
  if (kind.frames.some(same)) return null;
  kind.frames = [...kind.frames.slice(1 - COMPARED), grey];
  return canvas.toDataURL("image/jpeg", 0.92);
}

function stop(kind) {
  if (recording !== kind) return;
  recording = null;
  kind.label();
  setTimeout(() => { // the next kind is recorded in a moment; otherwise the camera goes off
    if (recording !== kind) kind.stage.hidden = true;
    if (recording) return;
    stream?.getTracks().forEach((track) => track.stop());
    stream = null;
  }, 4000);
}

// What came of it -------------------------------------------------------------------------------------------------

let later = 0, added = null; // what came from Classify, said with what follows from it
function changed() {
  const ready = kinds.filter((kind) => kind.count).length;
  use.disabled = ready < 2;
  clearTimeout(later);
  if (ready >= 2) later = setTimeout(() => { if (!recording && !waiting) queue(choose); else changed(); }, USE_MS);
  else if (ready && !said.classList.contains("fv-wrong")) tell(() => say("two_kinds"));
}

// The pictures become the dataset that is trained on.
async function choose() {
  clearTimeout(later);
  const answer = await ask("collect_use");
  if (!answer) return;
  const came = added;
  if (!said.classList.contains("fv-wrong")) tell(() => [came?.(), say("ready")].filter(Boolean).join(" "));
  added = null;
  trigger("click");
}

async function refresh() {
  const state = await ask("collect_state");
  part.hidden = !state;
  if (!state || recording) return;
  speak();
  list.replaceChildren();
  kinds.splice(0, kinds.length);
  for (const { name, count, pictures } of state.kinds) {
    const kind = new Kind(name, count);
    kinds.push(kind);
    for (const { id, url } of pictures) kind.show(id, url);
  }
  while (kinds.length < 2) kinds.push(new Kind());
  taught.hidden = !state.taught;
  use.disabled = kinds.filter((kind) => kind.count).length < 2;
}

find(".fv-kind-add").addEventListener("click", () => { kinds.push(new Kind()); kinds.at(-1).name.focus(); });
taught.addEventListener("click", () => queue(async () => {
  const answer = await ask("collect_taught");
  if (!answer) return;
  await refresh();
  added = () => say("added", { ...answer, same: answer.count - answer.kept });
  tell(added);
  changed();
}));
use.addEventListener("click", () => queue(choose));
// Another language: what a person has typed and recorded stays.
window.addEventListener("fruitvision-words", () => {
  speak();
  for (const kind of kinds) kind.label();
  for (const button of list.querySelectorAll("figure button")) {
    button.title = say("forget_picture");
    button.setAttribute("aria-label", button.title);
  }
});
queue(refresh);
