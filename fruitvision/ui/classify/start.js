// Below the empty place for a picture: the camera, and drawn fruit to try. Beside it what Gradio's picture lacks: words at its icons,
// pictures pasted anywhere, an `alt` that says what is shown, and that a correction closes when the focus leaves it.
const start = element.querySelector(".fv-start");
const spoken = Object.fromEntries([...start.querySelectorAll("template")].map((own) => [own.dataset.language, own.dataset]));
const say = (word) => (spoken[window.fruitvision?.language] || spoken.en)[word];
const place = () => document.querySelector("#classify-picture");
const CORNER = { remove_image: "remove", fullscreen: "fullscreen" }; // by the keys of gradio_words.js
const ICONS = { upload_file: "upload", capture: "webcam", paste: "clipboard" };
const known = (icon, words) => words[window.fruitvisionKnown?.(icon.getAttribute("aria-label"))];

function label() {
  start.querySelector(".fv-start-camera span").textContent = say("camera");
  start.querySelector(".fv-start-lead").textContent = say("examples");
  const names = JSON.parse(say("names"));
  for (const own of start.querySelectorAll("button[data-example]")) {
    const name = names[own.dataset.example];
    own.querySelector("span").textContent = name;
    own.setAttribute("aria-label", say("example").replace("{name}", name));
  }
  decorate();
}

// Gradio draws its picture anew whenever it changes: what is added to it is added again.
function decorate() {
  for (const icon of place()?.querySelectorAll(".source-selection button") || []) {
    const word = icon.dataset.fvIcon || known(icon, ICONS);
    if (!word) continue;
    set(icon, "data-fv-icon", word);
    set(icon, "data-fv-word", say(word));
    set(icon, "aria-label", say(word));
  }
  for (const icon of document.querySelectorAll("#classify-picture .icon-button, #classify-heatmap .icon-button")) {
    const word = icon.dataset.fvIcon || known(icon, CORNER);
    if (!word) continue;
    set(icon, "data-fv-icon", word);
    for (const name of ["aria-label", "title"]) set(icon, name, say(word));
  }
  const card = document.querySelector("#classify-answer .fv-answer");
  for (const [selector, alt] of [["#classify-picture img", "pictureAlt"], ["#classify-heatmap img", "heatAlt"]]) {
    const words = card?.dataset[alt];
    const picture = document.querySelector(selector);
    if (words && picture) set(picture, "alt", words);
  }
}

// Until the new answer is there, the one before is not taken for it: Gradio puts the new one in its place, unless the words are the same.
// The answer is there when the call ends that asked about the picture that is chosen now.
let asked = null;
window.addEventListener("fruitvision-given", (event) => {
  if (event.detail === place()) document.querySelector("#classify-answer .fv-answer")?.setAttribute("aria-busy", "true");
});
window.fruitvisionAsked = (picture) => { asked = picture?.path ?? null; };
window.fruitvisionAnswered = (picture) => {
  if (asked !== (picture?.path ?? null)) return;
  requestAnimationFrame(() => document.querySelector("#classify-answer .fv-answer")?.removeAttribute("aria-busy"));
};

function set(own, name, value) {
  if (own.getAttribute(name) !== value) own.setAttribute(name, value);
}

start.querySelector(".fv-start-camera").addEventListener("click", async () => {
  document.querySelector("#classify-live-tab-button").click();
  for (let tries = 0; tries < 100; tries += 1) { // the page makes the view when its tab is first opened
    const live = document.querySelector(".fv-live");
    if (live?.camera && live.offsetParent !== null) return live.camera.start();
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
});

start.querySelector(".fv-examples").addEventListener("click", async (event) => {
  const own = event.target.closest("[data-example]");
  if (!own) return;
  const bytes = await (await fetch(own.querySelector("img").src)).blob();
  window.fruitvisionGive(new File([bytes], `${own.dataset.example}.jpg`, { type: "image/jpeg" }), place());
});

// Who reaches for a picture, or for the camera, will ask: the server loads its network meanwhile, and not before.
if (!window.fruitvisionStart) {
  const reached = ["pointerover", "focusin", "dragenter"];
  const reach = (event) => {
    if (!event.target.closest?.("#classify-picture, #classify-start, #classify-live")) return;
    for (const kind of reached) document.removeEventListener(kind, reach, true);
    server.prepare(window.fruitvision?.model ?? null).catch(() => {});
  };
  for (const kind of reached) document.addEventListener(kind, reach, true);
}
if (!window.fruitvisionStart) {
  window.fruitvisionStart = true;
  document.addEventListener("paste", (event) => {
    const [file] = event.clipboardData?.files || [];
    if (!file || document.querySelector("#panel-classify-button")?.getAttribute("aria-selected") !== "true") return;
    event.preventDefault();
    event.stopImmediatePropagation();
    document.querySelector("#classify-picture-tab-button").click();
    window.fruitvisionGive(file, place());
  }, true);
  document.addEventListener("focusout", (event) => {
    const fix = event.target.closest?.(".fv-fix[open]");
    if (fix && event.relatedTarget && !fix.contains(event.relatedTarget)) fix.open = false;
  });
  document.addEventListener("keydown", (event) => {
    const fix = event.key === "Escape" && event.target.closest?.(".fv-fix[open]");
    if (!fix) return;
    fix.open = false;
    fix.querySelector("summary").focus();
  });
  // On a phone, and at 200% zoom, the camera comes first.
  if (matchMedia("(max-width: 640px), (max-width: 960px) and (max-height: 500px)").matches) document.querySelector("#classify-live-tab-button")?.click();
}
new MutationObserver(decorate).observe(element.closest(".fv-classify") || document.body, { childList: true, subtree: true });
window.addEventListener("fruitvision-words", label);
label();
