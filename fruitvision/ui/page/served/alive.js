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

  // The uploads of a server that is gone went with it: the pictures that are shown are given to the new one.
  window.addEventListener("fruitvision-restarted", () => {
    for (const place of document.querySelectorAll(PLACES)) {
      const picture = place.querySelector("img");
      if (!picture?.naturalWidth) continue;
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [picture.naturalWidth, picture.naturalHeight];
      canvas.getContext("2d").drawImage(picture, 0, 0);
      canvas.toBlob((blob) => blob && window.fruitvisionGive(new File([blob], "picture.jpg", { type: "image/jpeg" }), place), "image/jpeg", 0.95);
    }
  });

  // Gradio's own short messages, in the page's language; that the connection was lost stands at the foot.
  function translate(toast) {
    if (toast.dataset.fvSeen) return;
    toast.dataset.fvSeen = "1";
    const text = [...toast.querySelectorAll('[data-testid="toast-text"]')];
    const found = text.map((own) => TOASTS.find(([pattern]) => new RegExp(pattern, "i").test(own.textContent)));
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
