// Scrolls to the result of a click once it is visible, and focuses it: a phone shows only a small part of a panel, and keyboard users
// continue from the focus. Waits while the page is covered by the language overlay. `focus` selects another element than `place`; null
// leaves the focus where it is. If `unless`, the selector of an error message, is visible shortly after the answer, nothing is scrolled.
() => {
  const TIMEOUT_MS = 3000, POLL_MS = 50, RENDER_MS = 150;
  const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  const isVisible = (element) => element.getClientRects().length && !element.closest("[inert]");
  window.fruitvisionScrollIntoView = async (place, focus = place, unless = null) => {
    const deadline = Date.now() + TIMEOUT_MS, visible = (selector) => [...document.querySelectorAll(selector)].find(isVisible);
    if (unless) await pause(RENDER_MS);
    if (unless && visible(unless)) return;
    let element = null;
    while (!(element = visible(place)) && Date.now() < deadline) await pause(POLL_MS);
    if (!element) return;
    const { top, bottom } = element.getBoundingClientRect();
    const barBottom = Math.max(document.querySelector("#run-bar")?.getBoundingClientRect().bottom ?? 0, 0);
    const reduced = matchMedia("(prefers-reduced-motion: reduce)").matches;
    if (top < barBottom || bottom > innerHeight) element.scrollIntoView({ block: "start", behavior: reduced ? "instant" : "smooth" });
    const target = focus && visible(focus);
    if (!target) return;
    if (target.tabIndex < 0) target.tabIndex = -1;
    target.focus({ preventScroll: true });
  };
}
