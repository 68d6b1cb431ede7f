// Uploads a dropped archive, folder or set of files in chunks of a few megabytes. The shared functions are in shared.js.
const CHUNK = 3 * 2 ** 20, MAX_RETRIES = 12, MIN_BYTES_TO_SHRINK = 24 * 2 ** 20, SIDE = 1024, MAX_FILES_TO_SHRINK = 3000;
const HIDDEN = /(^|\/)(\.|__MACOSX|Thumbs\.db|desktop\.ini)/i;
const [ARCHIVES, LABELS] = [part.dataset.archives, part.dataset.labels].map((ends) => ends.split(" "));
const endsIn = (path, ends) => ends.some((end) => path.toLowerCase().endsWith(end));
const place = find(".fv-drop-place"), bar = find("progress"), stopButton = find(".fv-drop-stop");
let busy = false, stopped = false;

function showProgress(share, text) {
  bar.hidden = share === null;
  if (share !== null) bar.value = share;
  showStatus(text);
}

// All files below a dropped entry, with their paths.
async function filesBelow(entry, path = "") {
  const here = path + entry.name;
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    return [{ path: here, file }];
  }
  const reader = entry.createReader(), inside = [];
  for (;;) { // readEntries returns at most a hundred at a time
    const batch = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!batch.length) break;
    inside.push(...batch);
  }
  return (await Promise.all(inside.map((child) => filesBelow(child, `${here}/`)))).flat();
}

async function upload(dropped) {
  if (busy) return;
  const files = dropped.filter(({ path, file }) => file.size && !HIDDEN.test(path));
  if (!files.length) return showStatus(say("nothing"), true);
  const unchanged = files.some(({ path }) => endsIn(path, ARCHIVES) || endsIn(path, LABELS));
  if (!unchanged && !files.some(({ path }) => path.includes("/"))) return showStatus(say("no_folders"), true);
  busy = true;
  stopped = false;
  stopButton.hidden = false;
  part.setAttribute("aria-busy", "true");
  try {
    const top = files[0].path.split("/")[0];
    const called = files.length === 1 || files.every(({ path }) => path.startsWith(`${top}/`)) ? top : say("files_called");
    await sendAll(called, unchanged ? files : await shrink(files));
  } finally {
    busy = false;
    stopButton.hidden = bar.hidden = true;
    part.removeAttribute("aria-busy");
  }
}

// Scale down large pictures, such as a phone's, before they are sent: training does not use that many pixels. Pictures with labelled
// boxes stay as they are, since the boxes are given in pixels.
async function shrink(files) {
  const total = files.reduce((sum, { file }) => sum + file.size, 0);
  if (total < MIN_BYTES_TO_SHRINK || files.length > MAX_FILES_TO_SHRINK) return files;
  const results = [];
  for (const [number, { path, file }] of files.entries()) {
    if (stopped) break;
    showProgress(number / files.length, say("smaller", { number: number + 1, all: files.length }));
    const url = file.size > 2 ** 18 ? await smallJpeg(file, SIDE) : "";
    const blob = url.startsWith("data:image/jpeg") ? await (await fetch(url)).blob() : file;
    results.push(blob.size < file.size ? { path: path.replace(/\.[^./]*$/, "") + ".jpg", file: blob } : { path, file });
  }
  return results;
}

async function sendAll(called, files) {
  const total = files.reduce((sum, { file }) => sum + file.size, 0);
  const upload = await callWithRetries("drop_begin", { called, files: files.map(({ path, file }) => [path, file.size]) });
  if (!upload) return;
  const received = upload.came; // bytes of each file that the server has already
  const sent = () => received.reduce((sum, bytes) => sum + bytes, 0);
  for (let number = 0; number < files.length;) {
    if (stopped) return showProgress(null, say("stopped"));
    showProgress(sent() / total, say("sending", { done: megabytes(sent()), total: megabytes(total) }));
    const chunks = [];
    let size = 0, next = number;
    while (next < files.length && size < CHUNK) {
      const { file } = files[next], from = received[next], to = Math.min(file.size, from + CHUNK - size);
      if (to > from) chunks.push([next, from, await base64(file.slice(from, to)), to]);
      size += to - from;
      if (to < file.size) break;
      next += 1;
    }
    if (chunks.length && !await callWithRetries("drop_pieces", { key: upload.key, pieces: chunks.map((chunk) => chunk.slice(0, 3)) })) return;
    for (const [index, , , to] of chunks) received[index] = to;
    number = next;
  }
  if (!await callWithRetries("drop_finish", { key: upload.key })) return;
  for (;;) {
    const state = await callWithRetries("drop_state", { key: upload.key });
    if (!state) return;
    if (state.choice) {
      showProgress(null, say(state.ready ? "done" : "done_not_yet", { name: state.name }));
      return trigger("click");
    }
    showProgress(state.total ? state.done / state.total : 0, say("unpacking"));
    await pause(400);
  }
}

const megabytes = (bytes) => (bytes / 2 ** 20).toFixed(bytes < 2 ** 27 ? 1 : 0);

// Call a Python function, and retry while the connection is lost. Null if it failed; the error is then shown.
async function callWithRetries(name, given) {
  for (let retries = 0; ; retries += 1) {
    try {
      const answer = await server[name]({ ...page(), ...given });
      if (!answer.error) return answer;
      bar.hidden = true;
      showStatus(answer.error, true);
      return null;
    } catch {
      if (retries >= MAX_RETRIES || stopped) {
        showStatus(say("lost"), true);
        return null;
      }
      showStatus(say("again"), true);
      await pause(Math.min(500 * 2 ** retries, 15000));
    }
  }
}

makeDropZone(place, async (event) => {
  const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  const files = [...event.dataTransfer.files].map((file) => ({ path: file.name, file }));
  try {
    await upload(entries.length ? (await Promise.all(entries.map((entry) => filesBelow(entry)))).flat() : files);
  } catch (error) { // a file was deleted while it was read
    showStatus(String(error), true);
  }
});
for (const input of part.querySelectorAll("input[type=file]")) {
  input.addEventListener("change", async () => {
    const files = [...input.files].map((file) => ({ path: file.webkitRelativePath || file.name, file }));
    input.value = "";
    try {
      await upload(files);
    } catch (error) {
      showStatus(String(error), true);
    }
  });
}
stopButton.addEventListener("click", () => { stopped = true; });

// Show the drop zone to the owner alone: the server knows who that is.
async function showToOwner() {
  const answer = await server.drop_state({ ...page(), key: "" }).catch(() => null);
  part.hidden = !answer || answer.code === "owner-only";
  translate();
}
window.addEventListener("fruitvision-header-change", showToOwner);
showToOwner();
