// The camera button and the drawn examples below the empty picture component, and what Gradio's component lacks: labelled icons, pasting
// anywhere on the page, an `alt` that describes the picture, and a correction form that closes when the focus leaves it.
const start = element.querySelector(".fv-start");
const sentences = Object.fromEntries([...start.querySelectorAll("template")].map(({ dataset }) => [dataset.language, dataset]));
const say = (key) => (sentences[window.fruitvision?.language] || sentences.en)[key];
const place = () => document.querySelector("#classify-picture");
const CORNER_ICONS = { remove_image: "remove", fullscreen: "fullscreen" }; // by the keys of gradio_translation.js
const SOURCE_ICONS = { upload_file: "upload", capture: "webcam", paste: "clipboard" };
const iconKey = (icon, keys) => icon.dataset.fvIcon || keys[window.fruitvisionGradioKey?.(icon.getAttribute("aria-label"))];

function label() {
  start.querySelector(".fv-start-camera span").textContent = say("camera");
  start.querySelector(".fv-start-lead").textContent = say("examples");
  const names = JSON.parse(say("names"));
  for (const button of start.querySelectorAll("button[data-example]")) {
    const name = names[button.dataset.example];
    button.querySelector("span").textContent = name;
    button.setAttribute("aria-label", say("example").replace("{name}", name));
  }
  decorate();
}

// Gradio re-renders its picture component on every change, and these attributes are then set again.
function decorate() {
  for (const icon of place()?.querySelectorAll(".source-selection button") || []) {
    const key = iconKey(icon, SOURCE_ICONS);
    if (!key) continue;
    set(icon, "data-fv-icon", key);
    set(icon, "data-fv-word", say(key));
    set(icon, "aria-label", say(key));
  }
  for (const icon of document.querySelectorAll("#classify-picture .icon-button, #classify-heatmap .icon-button")) {
    const key = iconKey(icon, CORNER_ICONS);
    if (!key) continue;
    set(icon, "data-fv-icon", key);
    for (const name of ["aria-label", "title"]) set(icon, name, say(key));
  }
  const card = document.querySelector("#classify-answer .fv-answer");
  for (const [selector, alt] of [["#classify-picture img", "pictureAlt"], ["#classify-heatmap img", "heatAlt"]]) {
    const words = card?.dataset[alt];
    const picture = document.querySelector(selector);
    if (words && picture) set(picture, "alt", words);
  }
}

// The previous answer is dimmed (aria-busy) until the call about the current picture ends. Gradio replaces the answer's element by itself,
// except when the new HTML is equal to the old.
let asked = null;
window.addEventListener("fruitvision-picture-chosen", (event) => {
  if (event.detail === place()) document.querySelector("#classify-answer .fv-answer")?.setAttribute("aria-busy", "true");
});
window.fruitvisionAsked = (picture) => { asked = picture?.path ?? null; };
window.fruitvisionAnswered = (picture) => {
  if (asked !== (picture?.path ?? null)) return;
  requestAnimationFrame(() => document.querySelector("#classify-answer .fv-answer")?.removeAttribute("aria-busy"));
};

// Unchanged attributes are not set again: the observer below would react to them.
function set(target, name, value) {
  if (target.getAttribute(name) !== value) target.setAttribute(name, value);
}

start.querySelector(".fv-start-camera").addEventListener("click", async () => {
  document.querySelector("#classify-live-tab-button").click();
  for (let tries = 0; tries < 100; tries += 1) { // the view is mounted when its tab is first opened
    const live = document.querySelector(".fv-live");
    if (live?.camera && live.offsetParent !== null) return live.camera.start();
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
});

start.querySelector(".fv-examples").addEventListener("click", async (event) => {
  const button = event.target.closest("[data-example]");
  if (!button) return;
  const bytes = await (await fetch(button.querySelector("img").src)).blob();
  window.fruitvisionSetPicture(new File([bytes], `${button.dataset.example}.jpg`, { type: "image/jpeg" }), place());
  const answer = document.querySelector("#classify-answer"); // the examples disappear, and with them the focus
  answer.tabIndex = -1;
  answer.focus({ preventScroll: true });
});

// The server preloads the network when the pointer or the focus first reaches the picture or the camera, and not earlier.
if (!window.fruitvisionStart) {
  const kinds = ["pointerover", "focusin", "dragenter"];
  const preload = (event) => {
    if (!event.target.closest?.("#classify-picture, #classify-start, #classify-live")) return;
    for (const kind of kinds) document.removeEventListener(kind, preload, true);
    server.prepare(window.fruitvision?.model ?? null).catch(() => {});
  };
  for (const kind of kinds) document.addEventListener(kind, preload, true);
}
if (!window.fruitvisionStart) {
  window.fruitvisionStart = true;
  document.addEventListener("paste", (event) => {
    const [file] = event.clipboardData?.files || [];
    if (!file || document.querySelector("#panel-classify-button")?.getAttribute("aria-selected") !== "true") return;
    event.preventDefault();
    event.stopImmediatePropagation();
    document.querySelector("#classify-picture-tab-button").click();
    window.fruitvisionSetPicture(file, place());
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
window.addEventListener("fruitvision-header-change", label);
label();
