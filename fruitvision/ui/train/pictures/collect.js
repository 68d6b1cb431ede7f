// Collecting: frames of the camera while "Record" is held, or picture files, several per call. The shared functions are in shared.js.
const EVERY_MS = 250, SIDE = 320, DROP_SIDE = 512, BATCH = 8, MAX_SHOWN = 24, CLICK_MS = 3000, USE_MS = 1500;
const CROP = 0.8; // share of the video's short side, as in the live view
const GREY_SIDE = 16, MIN_DIFFERENCE = 2, COMPARED = 40; // frames are duplicates if their 16 × 16 grey pixels differ by less on average
const list = find(".fv-kinds"), template = find(".fv-kind-template"), use = find(".fv-collect-use"), taught = find(".fv-collect-taught");
const canvas = Object.assign(document.createElement("canvas"), { width: SIDE, height: SIDE });
const greyCanvas = Object.assign(document.createElement("canvas"), { width: GREY_SIDE, height: GREY_SIDE });
let stream = null, recording = null, waiting = 0, calls = Promise.resolve();

// Cards -----------------------------------------------------------------------------------------------------------

class Kind {
  constructor(name = "", count = 0) {
    this.card = template.content.firstElementChild.cloneNode(true);
    this.saved = name; // its name on the server; empty while it has no pictures
    this.count = count;
    this.frames = []; // the grey pixels of the last recorded frames
    this.summary = () => ""; // how many of the last pictures were kept
    const get = (selector) => this.card.querySelector(selector);
    [this.name, this.record, this.video] = [get("input[type=text]"), get(".fv-kind-record"), get("video")];
    [this.pictures, this.counted, this.stage] = [get(".fv-kind-pictures"), get(".fv-kind-count"), get(".fv-kind-video")];
    this.name.value = name;
    list.append(this.card);
    translate(this.card);
    this.label();
    this.name.addEventListener("change", () => queue(() => this.rename()));
    get(".fv-kind-forget").addEventListener("click", () => queue(() => this.forget()));
    this.pictures.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button) queue(() => this.removePicture(button.parentElement));
    });
    const chosen = get("input[type=file]"), drop = get(".fv-kind-drop");
    chosen.addEventListener("change", () => {
      const files = [...chosen.files];
      chosen.value = "";
      queue(() => this.addFiles(files));
    });
    makeDropZone(drop, (event) => { const files = [...event.dataTransfer.files]; queue(() => this.addFiles(files)); });
    this.record.addEventListener("pointerdown", (event) => { this.record.setPointerCapture(event.pointerId); record(this); });
    for (const end of ["pointerup", "pointercancel"]) this.record.addEventListener(end, () => stop(this));
    this.record.addEventListener("keydown", (event) => {
      if ((event.key === " " || event.key === "Enter") && !event.repeat) { event.preventDefault(); record(this); }
    });
    this.record.addEventListener("keyup", () => stop(this));
    this.record.addEventListener("blur", () => stop(this));
    // A click by a screen reader comes without pointer and key events: record for a few seconds.
    this.record.addEventListener("click", (event) => {
      if (event.detail === 0 && recording !== this) { record(this); setTimeout(() => stop(this), CLICK_MS); }
    });
    this.record.addEventListener("contextmenu", (event) => event.preventDefault()); // of a long press
  }

  // The name to save under: what was typed, or "Kind 2" if the user records before typing a name.
  ensureName() {
    if (!this.name.value.trim()) {
      let number = kinds.indexOf(this) + 1;
      const taken = new Set(kinds.map((kind) => kind.name.value.trim().toLowerCase()));
      while (taken.has(say("kind", { number }).toLowerCase())) number += 1;
      this.name.value = say("kind", { number });
    }
    return this.saved || this.name.value.trim();
  }

  label() {
    this.counted.textContent = [this.count ? say("count", { count: this.count }) : "", this.summary()].filter(Boolean).join(" · ");
    this.record.textContent = say(recording === this ? "recording" : "record");
    this.record.classList.toggle("fv-on", recording === this);
  }

  // The number of pictures that it has now, without those that moved to another kind.
  recount(count) {
    this.count = count;
    if (!count) this.saved = "";
    this.label();
  }

  show(id, url) {
    const figure = document.createElement("figure"), image = document.createElement("img"), button = document.createElement("button");
    figure.dataset.picture = id;
    Object.assign(image, { src: url, alt: "" });
    Object.assign(button, { type: "button", textContent: "×", title: say("forget_picture") });
    button.setAttribute("aria-label", say("forget_picture"));
    figure.append(image, button);
    this.pictures.prepend(figure);
    while (this.pictures.childElementCount > MAX_SHOWN) this.pictures.lastElementChild.remove();
  }

  async add(images) {
    const answer = await callServer("collect_add", { name: this.ensureName(), images });
    if (!answer) return { came: 0, kept: 0 };
    this.saved = answer.name;
    if (!document.activeElement?.isSameNode(this.name)) this.name.value = answer.name;
    this.count = answer.count;
    for (const [number, id] of answer.ids.entries()) {
      if (id) for (const other of list.querySelectorAll(`figure[data-picture="${id}"]`)) other.remove();
      if (id) this.show(id, images[number]);
    }
    for (const kind of kinds) if (kind !== this && kind.saved) kind.recount(answer.counts[kind.saved] ?? 0);
    this.label();
    if (answer.refused) showStatus(answer.refused, true);
    changed();
    return { came: answer.ids.filter(Boolean).length, kept: answer.kept };
  }

  // Shows on the card how many of `count` pictures were kept, unless all were.
  showSummary(word, count, kept) {
    this.summary = () => (kept < count ? say(word, { count, same: count - kept, kept }) : "");
    this.label();
  }

  async addFiles(files) {
    let added = 0, batch = [], fresh = 0;
    for (const [number, file] of files.entries()) {
      showStatus(() => say("adding", { number: number + 1, all: files.length }));
      const image = await smallJpeg(file, DROP_SIDE);
      batch.push(image);
      if (batch.length < BATCH && number + 1 < files.length) continue;
      const { came, kept } = await this.add(batch);
      fresh += kept;
      if (!came && statusLine.classList.contains("fv-wrong") && batch.length === BATCH) return;
      [added, batch] = [added + came, []];
    }
    if (added === files.length) showStatus("");
    this.showSummary("given", added, fresh);
  }

  async rename() {
    if (!this.saved || this.name.value.trim() === this.saved) return;
    const answer = this.name.value.trim() && await callServer("collect_rename", { name: this.saved, to: this.name.value });
    if (!answer) this.name.value = this.saved;
    else if (kinds.some((kind) => kind !== this && kind.saved.toLowerCase() === answer.name.toLowerCase())) return refresh();
    else this.saved = this.name.value = answer.name;
    changed();
  }

  async forget() {
    if (this.saved && !await callServer("collect_remove", { name: this.saved })) return;
    this.card.remove();
    kinds.splice(kinds.indexOf(this), 1);
    changed();
  }

  async removePicture(figure) {
    if (!await callServer("collect_remove", { picture: figure.dataset.picture })) return;
    figure.remove();
    this.recount(this.count - 1);
    changed();
  }
}

const kinds = [];

// Runs calls one after another, in order.
function queue(work) {
  calls = calls.then(work).catch((error) => showStatus(String(error), true));
  return calls;
}

// The camera ------------------------------------------------------------------------------------------------------

async function record(kind) {
  if (recording) return;
  recording = kind;
  kind.label();
  kind.stage.hidden = false;
  try {
    const opened = stream?.active ? stream : await navigator.mediaDevices.getUserMedia(
      { video: { width: { ideal: 1280 }, facingMode: { ideal: "environment" } } });
    if (stream?.active && stream !== opened) opened.getTracks().forEach((track) => track.stop()); // another kind opened it meanwhile
    else stream = opened;
    kind.video.srcObject = stream;
    await kind.video.play();
  } catch {
    if (recording === kind) recording = null;
    kind.stage.hidden = true;
    kind.label();
    release(kind);
    return showStatus(() => say("no_camera"), true);
  }
  showStatus("");
  if (recording !== kind) return release(kind); // released while the browser asked for permission
  let frames = [], dropped = 0, sent = 0, fresh = 0;
  const send = () => {
    const batch = frames.splice(0, BATCH);
    waiting += batch.length;
    queue(async () => {
      const { came, kept } = await kind.add(batch);
      [sent, fresh, waiting] = [sent + came, fresh + kept, waiting - batch.length];
    });
  };
  while (recording === kind) {
    const began = performance.now(), frame = newFrame(kind);
    if (frame) frames.push(frame);
    else if (kind.video.videoWidth && ++dropped % 8 === 0) showStatus(() => say("same"));
    if (frames.length >= 4 && waiting < 4 * BATCH) send();
    await pause(EVERY_MS - (performance.now() - began));
  }
  while (frames.length) send();
  queue(() => kind.showSummary("taken", sent + dropped, fresh));
}

// The middle of the video as a JPEG data URL; null if it is nearly the same as one of the last frames.
function newFrame(kind) {
  const { video } = kind, side = Math.min(video.videoWidth, video.videoHeight) * CROP;
  if (!side) return null;
  const crop = [(video.videoWidth - side) / 2, (video.videoHeight - side) / 2, side, side];
  canvas.getContext("2d").drawImage(video, ...crop, 0, 0, SIDE, SIDE);
  const pen = greyCanvas.getContext("2d", { willReadFrequently: true });
  pen.drawImage(canvas, 0, 0, GREY_SIDE, GREY_SIDE);
  const { data } = pen.getImageData(0, 0, GREY_SIDE, GREY_SIDE), grey = new Float32Array(GREY_SIDE * GREY_SIDE);
  for (let n = 0; n < grey.length; n += 1) grey[n] = 0.299 * data[4 * n] + 0.587 * data[4 * n + 1] + 0.114 * data[4 * n + 2];
  const isDuplicate = (other) => other.reduce((sum, value, n) => sum + Math.abs(value - grey[n]), 0) < MIN_DIFFERENCE * grey.length;
  if (kind.frames.some(isDuplicate)) return null;
  kind.frames = [...kind.frames.slice(1 - COMPARED), grey];
  return canvas.toDataURL("image/jpeg", 0.92);
}

function stop(kind) {
  if (recording !== kind) return;
  recording = null;
  kind.label();
  release(kind);
}

// Switches the camera off unless another kind is recorded soon.
function release(kind) {
  setTimeout(() => {
    if (recording !== kind) kind.stage.hidden = true;
    if (recording) return;
    stream?.getTracks().forEach((track) => track.stop());
    stream = null;
  }, 4000);
}

// The dataset -----------------------------------------------------------------------------------------------------

let timer = 0, added = null; // the message about pictures added from Classify, shown together with the next one
function changed() {
  const ready = kinds.filter((kind) => kind.count).length;
  use.disabled = ready < 2;
  clearTimeout(timer);
  if (ready >= 2) timer = setTimeout(() => { if (!recording && !waiting) queue(choose); else changed(); }, USE_MS);
  else if (ready && !statusLine.classList.contains("fv-wrong")) showStatus(() => say("two_kinds"));
}

// Make the pictures the dataset to train on.
async function choose() {
  clearTimeout(timer);
  const answer = await callServer("collect_use");
  if (!answer) return;
  const addedMessage = added;
  if (!statusLine.classList.contains("fv-wrong")) showStatus(() => [addedMessage?.(), say("ready")].filter(Boolean).join(" "));
  added = null;
  trigger("click");
}

async function refresh() {
  const state = await callServer("collect_state");
  part.hidden = !state;
  if (!state || recording) return;
  translate();
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
  const answer = await callServer("collect_taught");
  if (!answer) return;
  await refresh();
  added = () => say("added", { ...answer, same: answer.count - answer.kept });
  showStatus(added);
  changed();
}));
use.addEventListener("click", () => queue(choose));
// A change of the language keeps what was typed and recorded.
window.addEventListener("fruitvision-header-change", () => {
  translate();
  for (const kind of kinds) kind.label();
  for (const button of list.querySelectorAll("figure button")) {
    button.title = say("forget_picture");
    button.setAttribute("aria-label", button.title);
  }
});
queue(refresh);
