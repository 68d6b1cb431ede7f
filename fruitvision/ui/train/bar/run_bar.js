// The training's progress: polled every second while a run is active, every few seconds otherwise. After its end the bar shows the
// result, also on a page that is opened later, until the user has seen the run's status or dismissed the bar. The shared functions are
// in shared.js.
const ACTIVE_POLL_MS = 1000, IDLE_POLL_MS = 4000, MOUNT_MS = 3000, RUN_KEY = "fruitvision-run", SEEN_KEY = "fruitvision-run-seen";
const openButton = find(".fv-run-bar-go"), dismissButton = find(".fv-run-bar-away");
const text = find(".fv-run-bar-words"), showWord = find(".fv-run-bar-show"), filled = find(".fv-bar > i");
const announcement = element.querySelector(".fv-run-bar-said"); // outside the hidden part: screen readers ignore hidden elements
let timer = null, round = 0, active = false, run = "", ended = "";

// In localStorage, so that a reloaded or another page knows them too: the run that was last active, and the last one whose result was
// seen or dismissed.
const fallback = {};
function store(key, id) {
  fallback[key] = id;
  try {
    if (id) localStorage.setItem(key, id);
    else localStorage.removeItem(key);
  } catch { /* storage is not allowed: only this page knows it */ }
}
function stored(key) {
  try {
    return localStorage.getItem(key) ?? "";
  } catch {
    return fallback[key] ?? "";
  }
}

async function poll() {
  clearTimeout(timer);
  if (document.hidden) { // polls again when it becomes visible
    timer = setTimeout(poll, IDLE_POLL_MS);
    return;
  }
  const mine = ++round;
  const state = (await server.run_state({ ...page(), after: stored(RUN_KEY), seen: stored(SEEN_KEY) }).catch(() => null)) ?? { lost: true };
  if (mine !== round) return; // a newer poll has started, perhaps in another language
  if (state.code === "owner-only") return; // visitors stop polling
  if (!state.error && !state.lost) show(state);
  timer = setTimeout(poll, active ? ACTIVE_POLL_MS : IDLE_POLL_MS);
}

function show(state) {
  if (!state.run && (!state.ended || isInView(state.ended))) state = forget(state.ended);
  else store(RUN_KEY, state.run || state.ended);
  if (state.run && stored(SEEN_KEY) === state.run) store(SEEN_KEY, ""); // it was resumed, and will end anew
  active = Boolean(state.run);
  run = state.run || state.ended || "";
  part.hidden = !run;
  if (!run) return;
  // The status tells the time left too, a moment earlier or later.
  const words = state.left && !isInView(run) ? state.words + state.left : state.words;
  if (text.textContent !== words) text.textContent = words;
  const result = state.ended ? state.words : "";
  if (announcement.textContent !== result) announcement.textContent = result;
  ended = state.ended || "";
  part.dataset.state = state.state || "";
  dismissButton.hidden = !ended;
  filled.parentElement.hidden = Boolean(ended);
  showWord.hidden = !ended;
  showWord.textContent = say("show");
  filled.style.width = `${((state.share || 0) * 100).toFixed(1)}%`;
  openButton.title = say("lead");
  dismissButton.title = say("away");
  dismissButton.setAttribute("aria-label", say("away"));
}

// Whether the run's status is visible: then the bar is not needed.
function isInView(id) {
  const status = document.querySelector("#train-status .fv-status");
  if (status?.dataset.run !== id || !status.getClientRects().length) return false;
  const { top, bottom } = status.getBoundingClientRect();
  return top < innerHeight && bottom > 0;
}

function forget(id = ended) {
  if (id) store(SEEN_KEY, id);
  store(RUN_KEY, "");
  announcement.textContent = ended = "";
  return {};
}

openButton.addEventListener("click", async () => {
  trigger("click", { run });
  document.querySelector("#panel-train-button")?.click();
  const deadline = Date.now() + MOUNT_MS; // a panel is mounted when it is first opened
  while (!document.querySelector("#train-status") && Date.now() < deadline) await pause(50);
  window.fruitvisionScrollIntoView("#train-status");
  if (ended) show(forget());
});
dismissButton.addEventListener("click", () => {
  show(forget());
  document.querySelector("#panels [role=tab][aria-selected=true]")?.focus({ preventScroll: true });
});
// The live view of Classify leaves room for the bar.
const bar = element.closest("#run-bar") ?? element;
new ResizeObserver(() => {
  const height = part.hidden ? 0 : bar.offsetHeight + (parseFloat(getComputedStyle(bar.parentElement).rowGap) || 0);
  document.documentElement.style.setProperty("--fv-run-bar-height", `${height}px`);
}).observe(bar);
document.addEventListener("visibilitychange", poll);
for (const kind of ["fruitvision-header-change", "fruitvision-run-started"]) window.addEventListener(kind, poll);
poll();
