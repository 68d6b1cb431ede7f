// Dropping: an archive, a folder or many files, sent in pieces of a few megabytes. What is shared is in shared.js.
const PIECE = 3 * 2 ** 20, TRIES = 12, SMALL_FROM = 24 * 2 ** 20, SIDE = 1024, MOST_SMALLER = 3000;
const HIDDEN = /(^|\/)(\.|__MACOSX|Thumbs\.db|desktop\.ini)/i;
const [ARCHIVES, LABELS] = [part.dataset.archives, part.dataset.labels].map((ends) => ends.split(" "));
const endsIn = (path, ends) => ends.some((end) => path.toLowerCase().endsWith(end));
const place = find(".fv-drop-place"), bar = find("progress"), halt = find(".fv-drop-stop");
let busy = false, stopped = false;

function show(share, text) {
  bar.hidden = share === null;
  if (share !== null) bar.value = share;
  tell(text);
}

// Every file below what was dropped, with its path.
async function below(entry, path = "") {
  const here = path + entry.name;
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    return [{ path: here, file }];
  }
  const reader = entry.createReader(), inside = [];
  for (;;) { // a reader gives a hundred at a time
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) break;
    inside.push(...some);
  }
  return (await Promise.all(inside.map((one) => below(one, `${here}/`)))).flat();
}

async function send(given) {
  if (busy) return;
  const files = given.filter(({ path, file }) => file.size && !HIDDEN.test(path));
  if (!files.length) return tell(say("nothing"), true);
  const whole = files.some(({ path }) => endsIn(path, ARCHIVES) || endsIn(path, LABELS));
  if (!whole && !files.some(({ path }) => path.includes("/"))) return tell(say("no_folders"), true);
  busy = true;
  stopped = false;
  halt.hidden = false;
  part.setAttribute("aria-busy", "true");
  try {
    const top = files[0].path.split("/")[0];
    const called = files.length === 1 || files.every(({ path }) => path.startsWith(`${top}/`)) ? top : say("files_called");
    await deliver(called, whole ? files : await smaller(files));
  } finally {
    busy = false;
    halt.hidden = bar.hidden = true;
    part.removeAttribute("aria-busy");
  }
}

// A phone's pictures are made smaller before they are sent: no training looks at so many pixels. Boxes' labels count them.
async function smaller(files) {
  const total = files.reduce((sum, { file }) => sum + file.size, 0);
  if (total < SMALL_FROM || files.length > MOST_SMALLER) return files;
  const made = [];
  for (const [number, { path, file }] of files.entries()) {
    if (stopped) break;
    show(number / files.length, say("smaller", { number: number + 1, all: files.length }));
    const url = file.size > 2 ** 18 ? await small(file, SIDE) : "";
    const blob = url.startsWith("data:image/jpeg") ? await (await fetch(url)).blob() : file;
    made.push(blob.size < file.size ? { path: path.replace(/\.[^./]*$/, "") + ".jpg", file: blob } : { path, file });
  }
  return made;
}

async function deliver(called, files) {
  const total = files.reduce((sum, { file }) => sum + file.size, 0);
  const begin = () => patient("drop_begin", { called, files: files.map(({ path, file }) => [path, file.size]) });
  let begun = await begin();
  if (!begun) return;
  const came = begun.came;
  const sent = () => came.reduce((sum, bytes) => sum + bytes, 0);
  for (let number = 0; number < files.length;) {
    if (stopped) return show(null, say("stopped"));
    show(sent() / total, say("sending", { done: megabytes(sent()), total: megabytes(total) }));
    const pieces = [];
    let size = 0, next = number;
    while (next < files.length && size < PIECE) {
      const { file } = files[next], from = came[next], to = Math.min(file.size, from + PIECE - size);
      if (to > from) pieces.push([next, from, await base64(file.slice(from, to)), to]);
      size += to - from;
      if (to < file.size) break;
      next += 1;
    }
    if (pieces.length && !await patient("drop_pieces", { key: begun.key, pieces: pieces.map((one) => one.slice(0, 3)) })) return;
    for (const [which, , , to] of pieces) came[which] = to;
    number = next;
  }
  if (!await patient("drop_finish", { key: begun.key })) return;
  for (;;) {
    const state = await patient("drop_state", { key: begun.key });
    if (!state) return;
    if (state.choice) {
      show(null, say("done", { name: state.name }));
      return trigger("click");
    }
    show(state.total ? state.done / state.total : 0, say("unpacking"));
    await pause(400);
  }
}

const megabytes = (bytes) => (bytes / 2 ** 20).toFixed(bytes < 2 ** 27 ? 1 : 0);

// A call that is made again while the connection is lost.
async function patient(call, given) {
  for (let tries = 0; ; tries += 1) {
    try {
      const answer = await server[call]({ ...page(), ...given });
      if (!answer.error) return answer;
      bar.hidden = true;
      tell(answer.error, true);
      return null;
    } catch {
      if (tries >= TRIES || stopped) {
        tell(say("lost"), true);
        return null;
      }
      tell(say("again"), true);
      await pause(Math.min(500 * 2 ** tries, 15000));
    }
  }
}

droppable(place, async (event) => {
  const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  const files = [...event.dataTransfer.files].map((file) => ({ path: file.name, file }));
  try {
    await send(entries.length ? (await Promise.all(entries.map((entry) => below(entry)))).flat() : files);
  } catch (error) { // a file that went away while it was read
    tell(String(error), true);
  }
});
for (const input of part.querySelectorAll("input[type=file]")) {
  input.addEventListener("change", async () => {
    const files = [...input.files].map((file) => ({ path: file.webkitRelativePath || file.name, file }));
    input.value = "";
    try {
      await send(files);
    } catch (error) {
      tell(String(error), true);
    }
  });
}
halt.addEventListener("click", () => { stopped = true; });

// Whoever is the owner may drop: the server says so.
async function greet() {
  const answer = await server.drop_state({ ...page(), key: "" }).catch(() => null);
  part.hidden = !answer || answer.code === "owner-only";
  speak();
}
window.addEventListener("fruitvision-words", greet);
greet();
