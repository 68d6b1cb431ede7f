// Polls the server, and shows a banner at the bottom of the page while it does not answer. The page keeps its content and goes on with a
// restarted server; Gradio alone would reload it, with a message in English.
// WORDS (by language), TOASTS (patterns of Gradio's messages with the key of the replacement) and PICTURE_SELECTOR come from reconnect.py.
() => {
  if (window.fruitvisionReconnect) return;
  window.fruitvisionReconnect = true;
  const POLL_MS = 1500, TIMEOUT_MS = 2000, FAILURES_TO_SHOW = 2;
  const say = (word) => (WORDS[window.fruitvision?.language] || WORDS.en)[word];
  const root = (window.gradio_config?.root || "").replace(/\/$/, "");
  const banner = document.createElement("div");
  banner.className = "fv-offline";
  banner.setAttribute("role", "alert");
  banner.hidden = true;
  banner.innerHTML = '<span></span><button type="button"></button>';
  banner.querySelector("button").addEventListener("click", () => location.reload());
  (document.querySelector(".gradio-container") || document.body).append(banner);

  let instance = null, failures = 0, unreachable = false; // with several servers behind a proxy, any of them may answer
  function updateBanner() {
    banner.hidden = failures < FAILURES_TO_SHOW;
    banner.querySelector("span").textContent = banner.hidden ? "" : say("lost");
    banner.querySelector("button").textContent = say("reload");
    // Reserve space, so that the banner covers neither an answer nor a button.
    document.documentElement.style.setProperty("--fv-offline-height", banner.hidden ? "0px" : `${banner.offsetHeight + 20}px`);
  }

  async function poll() {
    try {
      const response = await fetch(`${root}/alive`, { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) });
      if ([502, 504].includes(response.status)) throw new Error("a proxy without a server behind it");
      failures = 0;
      if (!response.ok) return; // busy
      const current = await response.text(), restarted = unreachable && instance && current !== instance;
      [instance, unreachable] = [current, false];
      if (restarted) window.dispatchEvent(new Event("fruitvision-server-restarted"));
    } catch {
      failures += 1;
      unreachable = true;
    }
  }

  (async () => {
    for (;;) {
      if (!document.hidden) {
        await poll();
        updateBanner();
      }
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  })();
  window.addEventListener("fruitvision-header-change", updateBanner);

  // A restarted server has lost the uploads, so the displayed pictures are uploaded again. If a call failed while the server was
  // unreachable, Gradio's page makes no further calls, and has to be reloaded.
  let callFailed = false, reloading = false;
  window.addEventListener("fruitvision-server-restarted", () => {
    reloading = callFailed;
    if (reloading) return location.reload();
    for (const [place, url] of displayedPictures(Infinity)) upload(place, url);
  });

  /** The displayed pictures as JPEG data URLs, their long side at most `maxSide` pixels. */
  function displayedPictures(maxSide) {
    return [...document.querySelectorAll(PICTURE_SELECTOR)].flatMap((place) => {
      const picture = place.querySelector("img"), canvas = document.createElement("canvas");
      if (!picture?.naturalWidth) return [];
      const scale = Math.min(1, maxSide / Math.max(picture.naturalWidth, picture.naturalHeight));
      [canvas.width, canvas.height] = [picture.naturalWidth, picture.naturalHeight].map((side) => Math.max(1, Math.round(side * scale)));
      canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
      return [[place, canvas.toDataURL("image/jpeg", 0.95)]];
    });
  }

  function upload(place, url) {
    const bytes = Uint8Array.from(atob(url.split(",")[1]), (character) => character.charCodeAt(0));
    return window.fruitvisionSetPicture(new File([bytes], "picture.jpg", { type: "image/jpeg" }), place);
  }

  // The selected view of Classify, its pictures, and the camera survive a reload: they are kept in sessionStorage.
  const STATE_KEY = "fruitvision-kept", STATE_PX = 1280, VIEWS = ["classify-picture-tab", "classify-live-tab"];
  const button = (view) => document.getElementById(`${view}-button`);
  window.addEventListener("pagehide", () => {
    try {
      const shown = Object.fromEntries(displayedPictures(STATE_PX).map(([place, url]) => [place.id, url]));
      const view = VIEWS.find((id) => button(id)?.getAttribute("aria-selected") === "true");
      const camera = reloading && document.querySelector(".fv-live")?.camera?.on(); // a reload by the user leaves the camera off
      sessionStorage.setItem(STATE_KEY, JSON.stringify({ shown, view, camera }));
    } catch { /* storage is full or not allowed: the page starts empty */ }
  });
  (async () => {
    let state = null;
    try {
      state = JSON.parse(sessionStorage.getItem(STATE_KEY));
      sessionStorage.removeItem(STATE_KEY);
    } catch { /* storage is not allowed */ }
    if (!state || performance.getEntriesByType("navigation")[0]?.type !== "reload") return;
    if (state.view) button(state.view)?.click();
    for (let tries = 0; tries < 100 && (state.camera || Object.keys(state.shown).length); tries += 1) { // panels are mounted when opened
      const live = document.querySelector(".fv-live");
      if (state.camera && live?.camera && live.offsetParent) {
        state.camera = false;
        live.camera.start();
      }
      for (const [id, url] of Object.entries(state.shown)) {
        const place = document.getElementById(id);
        if (!place || !window.fruitvisionSetPicture) continue;
        delete state.shown[id];
        upload(place, url);
      }
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  })();

  // Translate Gradio's own toasts; those about a lost connection are closed, since the banner says it.
  function translate(toast) {
    if (toast.dataset.fvSeen) return;
    toast.dataset.fvSeen = "1";
    const texts = [...toast.querySelectorAll('[data-testid="toast-text"]')];
    const matches = texts.map((text) => TOASTS.find(([pattern]) => new RegExp(pattern, "i").test(text.textContent)));
    callFailed ||= /connection .*lost/i.test(toast.textContent);
    if (matches.some((match) => match && !match[1])) return toast.querySelector('[data-testid="toast-close"]')?.click();
    matches.forEach((match, n) => { if (match) texts[n].textContent = say(match[1]); });
    toast.querySelector('[data-testid="toast-close"]')?.setAttribute("aria-label", say("close"));
    const title = toast.querySelector(".toast-title-row span");
    const kind = ["error", "warning", "info", "success"].find((name) => toast.classList.contains(name));
    if (title?.firstChild && kind) title.firstChild.textContent = `${say(kind)} `;
  }
  new MutationObserver(() => document.querySelectorAll('[data-testid="toast-body"]').forEach(translate))
    .observe(document.body, { childList: true, subtree: true });
}
