// How far the training is: asked for each second while one goes on, every few seconds otherwise. What is shared is in shared.js.
const EVERY_MS = 1000, IDLE_MS = 4000, MOUNT_MS = 3000;
const go = find("button"), told = find(".fv-run-bar-words"), filled = find(".fv-bar > i");
let timer = null, asking = false, run = "";

async function look() {
  clearTimeout(timer);
  if (asking || document.hidden) { // a hidden page asks when it is seen again
    if (!asking) timer = setTimeout(look, IDLE_MS);
    return;
  }
  asking = true;
  const state = (await server.run_state(page()).catch(() => null)) ?? { lost: true };
  asking = false;
  if (state.code === "owner-only") return; // a visitor need not ask again
  if (!state.error && !state.lost) show(state);
  timer = setTimeout(look, state.run ? EVERY_MS : IDLE_MS);
}

function show(state) {
  run = state.run || "";
  part.hidden = !run;
  if (!run) return;
  if (told.textContent !== state.words) told.textContent = state.words;
  filled.style.width = `${(state.share * 100).toFixed(1)}%`;
  go.title = say("lead");
}

go.addEventListener("click", async () => {
  trigger("click", { run });
  document.querySelector("#panel-train-button")?.click();
  const until = Date.now() + MOUNT_MS; // a panel is made when it is first opened
  let status = null;
  while (!(status = document.querySelector("#train-status")) && Date.now() < until) await pause(50);
  status?.scrollIntoView({ block: "nearest", behavior: "smooth" });
});
document.addEventListener("visibilitychange", look);
for (const kind of ["fruitvision-words", "fruitvision-run"]) window.addEventListener(kind, look);
look();
