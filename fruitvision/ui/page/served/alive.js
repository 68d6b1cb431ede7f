// Whether the app answers, asked every second and a half. Where it does not, that is said at the page's foot, until it does: a page
// goes on with a server that was started anew, and what it shows stays. Gradio would reload the page, and says so in English.
// WORDS (by language) and TOASTS (what Gradio says by itself: a pattern, and the word in its place) come from alive.py.
() => {
  if (window.fruitvisionAlive) return;
  window.fruitvisionAlive = true;
  const EVERY_MS = 1500, WAIT_MS = 2000, MOST_FAILED = 2;
  const say = (word) => (WORDS[window.fruitvision?.language] || WORDS.en)[word];
  const root = (window.gradio_config?.root || "").replace(/\/$/, "");
  const note = document.createElement("div");
  note.className = "fv-away";
  note.setAttribute("role", "alert");
  note.hidden = true;
  note.innerHTML = '<span></span><button type="button"></button>';
  note.querySelector("button").addEventListener("click", () => location.reload());
  (document.querySelector(".gradio-container") || document.body).append(note);

  let born = null, failed = 0, away = false; // of several servers behind a proxy, any may answer
  function tell() {
    note.hidden = failed < MOST_FAILED;
    note.querySelector("span").textContent = note.hidden ? "" : say("lost");
    note.querySelector("button").textContent = say("reload");
    // The page makes room: the note lies over neither an answer nor a button.
    document.documentElement.style.setProperty("--fv-away", note.hidden ? "0px" : `${note.offsetHeight + 20}px`);
  }

  async function ask() {
    try {
      const answer = await fetch(`${root}/alive`, { cache: "no-store", signal: AbortSignal.timeout(WAIT_MS) });
      if ([502, 504].includes(answer.status)) throw new Error("a proxy, and nothing behind it");
      failed = 0;
      if (!answer.ok) return; // busy
      const now = await answer.text(), restarted = away && born && now !== born;
      [born, away] = [now, false];
      if (restarted) window.dispatchEvent(new Event("fruitvision-restarted"));
    } catch {
      failed += 1;
      away = true;
    }
  }

  (async () => {
    for (;;) {
      if (!document.hidden) {
        await ask();
        tell();
      }
      await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
    }
  })();
  window.addEventListener("fruitvision-words", tell);

  // The uploads of a server that is gone went with it: the pictures that are shown are given to the new one. Where something was
  // asked of the server while it was away, Gradio's page asks nothing any more: it has to be loaded anew.
  let lost = false;
  window.addEventListener("fruitvision-restarted", () => {
    if (lost) return location.reload();
    for (const [place, url] of pictures(Infinity)) give(place, url);
  });

  /** The pictures that are shown, as JPEG data URLs, no longer than so many pixels. */
  function pictures(longest) {
    return [...document.querySelectorAll(PLACES)].flatMap((place) => {
      const picture = place.querySelector("img"), canvas = document.createElement("canvas");
      if (!picture?.naturalWidth) return [];
      const scale = Math.min(1, longest / Math.max(picture.naturalWidth, picture.naturalHeight));
      [canvas.width, canvas.height] = [picture.naturalWidth, picture.naturalHeight].map((side) => Math.max(1, Math.round(side * scale)));
      canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
      return [[place, canvas.toDataURL("image/jpeg", 0.95)]];
    });
  }

  function give(place, url) {
    const bytes = Uint8Array.from(atob(url.split(",")[1]), (one) => one.charCodeAt(0));
    return window.fruitvisionGive(new File([bytes], "picture.jpg", { type: "image/jpeg" }), place);
  }

  // A reload stays where one was: the view of Classify and the pictures are kept in this tab of the browser until then.
  const KEPT = "fruitvision-kept", KEPT_PX = 1280, VIEWS = ["classify-picture-tab", "classify-live-tab"];
  const button = (view) => document.getElementById(`${view}-button`);
  window.addEventListener("pagehide", () => {
    try {
      const shown = Object.fromEntries(pictures(KEPT_PX).map(([place, url]) => [place.id, url]));
      sessionStorage.setItem(KEPT, JSON.stringify({ shown, view: VIEWS.find((one) => button(one)?.getAttribute("aria-selected") === "true") }));
    } catch { /* full, or not allowed: it begins anew */ }
  });
  (async () => {
    let kept = null;
    try {
      kept = JSON.parse(sessionStorage.getItem(KEPT));
      sessionStorage.removeItem(KEPT);
    } catch { /* not allowed */ }
    if (!kept || performance.getEntriesByType("navigation")[0]?.type !== "reload") return;
    if (kept.view) button(kept.view)?.click();
    for (let tries = 0; tries < 100 && Object.keys(kept.shown).length; tries += 1) { // a panel is made when it is first opened
      for (const [id, url] of Object.entries(kept.shown)) {
        const place = document.getElementById(id);
        if (!place || !window.fruitvisionGive) continue;
        delete kept.shown[id];
        give(place, url);
      }
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  })();

  // Gradio's own short messages, in the page's language; that the connection was lost stands at the foot.
  function translate(toast) {
    if (toast.dataset.fvSeen) return;
    toast.dataset.fvSeen = "1";
    const text = [...toast.querySelectorAll('[data-testid="toast-text"]')];
    const found = text.map((own) => TOASTS.find(([pattern]) => new RegExp(pattern, "i").test(own.textContent)));
    lost ||= /connection .*lost/i.test(toast.textContent);
    if (found.some((one) => one && !one[1])) return toast.querySelector('[data-testid="toast-close"]')?.click();
    found.forEach((one, n) => { if (one) text[n].textContent = say(one[1]); });
    toast.querySelector('[data-testid="toast-close"]')?.setAttribute("aria-label", say("close"));
    const title = toast.querySelector(".toast-title-row span");
    const kind = ["error", "warning", "info", "success"].find((one) => toast.classList.contains(one));
    if (title?.firstChild && kind) title.firstChild.textContent = `${say(kind)} `;
  }
  new MutationObserver(() => document.querySelectorAll('[data-testid="toast-body"]').forEach(translate))
    .observe(document.body, { childList: true, subtree: true });
}
