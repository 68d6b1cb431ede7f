// Brings what a click led to into view, once it is there, and gives it the focus: a phone shows a tenth of a panel at once, and a
// keyboard goes on from where its focus is. While the page is covered, that waits. `focus` names another element than `place`; null
// leaves the focus where it is. `unless` names what is seen where it led to nothing: looked for when the page has drawn the answer, a
// moment after it came.
() => {
  const WAIT_MS = 3000, LOOK_MS = 50, DRAWN_MS = 150;
  const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  const seen = (one) => one.getClientRects().length && !one.closest("[inert]");
  window.fruitvisionShow = async (place, focus = place, unless = null) => {
    const until = Date.now() + WAIT_MS, shown = (selector) => [...document.querySelectorAll(selector)].find(seen);
    if (unless) await pause(DRAWN_MS);
    if (unless && shown(unless)) return;
    let found = null;
    while (!(found = shown(place)) && Date.now() < until) await pause(LOOK_MS);
    if (!found) return;
    const { top, bottom } = found.getBoundingClientRect();
    const covered = Math.max(document.querySelector("#run-bar")?.getBoundingClientRect().bottom ?? 0, 0);
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    if (top < covered || bottom > innerHeight) found.scrollIntoView({ block: "start", behavior: calm ? "instant" : "smooth" });
    const target = focus && shown(focus);
    if (!target) return;
    if (target.tabIndex < 0) target.tabIndex = -1;
    target.focus({ preventScroll: true });
  };
}
