// How far the training is: asked for each second while one goes on, every few seconds otherwise. Once it has ended, how, until
// somebody has looked at it or sent it away. What is shared is in shared.js.
const EVERY_MS = 1000, IDLE_MS = 4000, MOUNT_MS = 3000, KEPT = "fruitvision-run";
const go = find(".fv-run-bar-go"), away = find(".fv-run-bar-away"), told = find(".fv-run-bar-words"), filled = find(".fv-bar > i");
const aloud = element.querySelector(".fv-run-bar-said"); // outside of what is hidden, or nothing would be announced
let timer = null, asked = 0, going = false, run = "", ended = "";

// The training that was last seen going on: a page that is opened anew, or another one, knows it too.
let noted = "";
function remember(id) {
  noted = id;
  try {
    if (id) localStorage.setItem(KEPT, id);
    else localStorage.removeItem(KEPT);
  } catch { /* a browser that keeps nothing: this page knows it still */ }
}
function remembered() {
  try {
    return localStorage.getItem(KEPT) ?? "";
  } catch {
    return noted;
  }
}

async function look() {
  clearTimeout(timer);
  if (document.hidden) { // it asks when it is seen again
    timer = setTimeout(look, IDLE_MS);
    return;
  }
  const mine = ++asked;
  const state = (await server.run_state({ ...page(), after: remembered() }).catch(() => null)) ?? { lost: true };
  if (mine !== asked) return; // asked again meanwhile, perhaps in another language
  if (state.code === "owner-only") return; // a visitor need not ask again
  if (!state.error && !state.lost) show(state);
  timer = setTimeout(look, going ? EVERY_MS : IDLE_MS);
}

function show(state) {
  if (state.run) remember(state.run);
  else if (!state.ended || looked_at(state.ended)) state = forget();
  going = Boolean(state.run);
  run = state.run || state.ended || "";
  part.hidden = !run;
  if (!run) return;
  if (told.textContent !== state.words) told.textContent = state.words;
  const news = state.ended ? state.words : "";
  if (aloud.textContent !== news) aloud.textContent = news;
  ended = state.ended || "";
  part.dataset.state = state.state || "";
  away.hidden = !ended;
  filled.parentElement.hidden = Boolean(ended);
  filled.style.width = `${((state.share || 0) * 100).toFixed(1)}%`;
  go.title = say("lead");
  away.title = say("away");
  away.setAttribute("aria-label", say("away"));
}

// Whether the run's status is in view: then nothing is left to tell.
function looked_at(id) {
  const status = document.querySelector("#train-status .fv-status");
  if (status?.dataset.run !== id || !status.getClientRects().length) return false;
  const { top, bottom } = status.getBoundingClientRect();
  return top < innerHeight && bottom > 0;
}

function forget() {
  remember("");
  aloud.textContent = ended = "";
  return {};
}

go.addEventListener("click", async () => {
  trigger("click", { run });
  document.querySelector("#panel-train-button")?.click();
  const until = Date.now() + MOUNT_MS; // a panel is made when it is first opened
  while (!document.querySelector("#train-status") && Date.now() < until) await pause(50);
  window.fruitvisionShow("#train-status");
  if (ended) show(forget());
});
away.addEventListener("click", () => {
  show(forget());
  document.querySelector("#panels [role=tab][aria-selected=true]")?.focus({ preventScroll: true });
});
document.addEventListener("visibilitychange", look);
for (const kind of ["fruitvision-words", "fruitvision-run"]) window.addEventListener(kind, look);
look();
