// A change of the language updates only the parts of the page that are visible; the others follow when they are opened. An overlay covers
// the page until all visible parts have changed, so that texts in two languages are never visible together.
// WORDS (by language) and PARTS (the tabs that are selected while a part is visible) come from language_overlay.py.
() => {
  if (window.fruitvisionSyncLanguages) return;
  const POLL_MS = 50, IDLE_POLLS = 2, CALLS_TIMEOUT_MS = 1000, LABELS_TIMEOUT_MS = 1000;
  const TIMEOUT_MS = 5000, SLOW_TIMEOUT_MS = 15000; // without, and with calls in flight
  const isVisible = (part) => PARTS[part].every((tab) => document.getElementById(`${tab}-button`)?.getAttribute("aria-selected") === "true");
  const chosenLanguage = () => document.querySelector("#language input:checked")?.value;

  const root = document.querySelector(".gradio-container") || document.body;
  const overlay = document.createElement("div"), message = document.createElement("p"), status = document.createElement("p");
  overlay.className = "fv-language-overlay";
  overlay.hidden = true;
  overlay.setAttribute("aria-hidden", "true");
  overlay.append(message);
  status.className = "fv-hidden fv-language-overlay-status"; // outside the overlay: screen readers ignore elements that were hidden
  status.setAttribute("role", "status");
  root.append(status, overlay);

  // While the overlay is shown, the page is inert; then the focus returns to where it was.
  let focused = null;
  function showOverlay() {
    if (overlay.hidden) focused = document.activeElement;
    overlay.hidden = false;
    for (const child of root.children) if (child !== overlay && child !== status) child.inert = true;
  }
  function hideOverlay() {
    overlay.hidden = true;
    for (const child of root.children) child.inert = false;
    const target = focused?.isConnected === false ? document.querySelector("#language input:checked") : focused; // it was re-rendered
    if (document.activeElement === document.body) target?.focus({ preventScroll: true });
    focused = null;
  }

  // Count the calls in flight; responses are read to the end, since some are streamed.
  let calls = 0, round = 0;
  const originalFetch = window.fetch;
  window.fetch = (...args) => {
    const pending = originalFetch(...args);
    if (overlay.hidden || !/\/gradio_api\/(queue|run|component_server)/.test(String(args[0]?.url ?? args[0]))) return pending;
    calls += 1;
    pending.then((response) => response.clone().arrayBuffer()).catch(() => {}).finally(() => { calls -= 1; });
    return pending;
  };

  const pendingParts = new Map(); // not translated yet: parts, and the header, with the labels of their tabs
  const tabLabels = (part) => {
    const place = part === "header" ? "#panels > .tab-wrapper" : `#${PARTS[part].at(-1)}`;
    return [...document.querySelectorAll(`${place} [role=tab]`)].map((tab) => tab.textContent).join();
  };
  const addPending = (part) => { if (!pendingParts.has(part)) pendingParts.set(part, tabLabels(part)); };
  async function coverUntilTranslated(language, part) {
    const mine = ++round, start = performance.now(), end = () => start + (calls ? SLOW_TIMEOUT_MS : TIMEOUT_MS);
    addPending(part);
    message.textContent = status.textContent = WORDS[language] || WORDS.en;
    showOverlay();
    let idle = 0, callsEnd = Infinity; // once all parts are translated, calls are waited for only a short time
    while (idle < IDLE_POLLS && performance.now() < Math.min(end(), callsEnd)) {
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      if (mine !== round) return;
      if (!pendingParts.size) callsEnd = Math.min(callsEnd, performance.now() + CALLS_TIMEOUT_MS);
      idle = pendingParts.size || calls ? 0 : idle + 1;
    }
    pendingParts.clear();
    hideOverlay();
    message.textContent = status.textContent = "";
  }

  const initial = window.fruitvision?.language || chosenLanguage();
  const languages = Object.fromEntries(Object.keys(PARTS).map((part) => [part, initial]));
  /** The languages of all parts after a change: that of a visible part is `language`, a hidden one keeps its own. */
  window.fruitvisionSyncLanguages = (language, before) => Object.keys(PARTS).map((part, n) => {
    if (!isVisible(part)) return before[n];
    languages[part] = language;
    if (before[n] === language) pendingParts.delete(part); // nothing changes
    else if (overlay.hidden) coverUntilTranslated(language, part);
    else addPending(part);
    return language;
  });
  // Gradio renders the labels of tabs later than the rest.
  window.fruitvisionTranslated = async (part) => {
    const before = pendingParts.get(part), end = performance.now() + LABELS_TIMEOUT_MS;
    while (before && tabLabels(part) === before && performance.now() < end) await new Promise((resolve) => setTimeout(resolve, POLL_MS / 2));
    pendingParts.delete(part);
  };
  document.addEventListener("change", (event) => {
    if (event.target.closest?.("#language")) coverUntilTranslated(event.target.value, "header");
  }, true);
  function onTabSelected(button) {
    const tab = button?.id.replace(/-button$/, "");
    for (const part of Object.keys(PARTS)) {
      if (PARTS[part].at(-1) === tab && languages[part] !== chosenLanguage()) coverUntilTranslated(chosenLanguage(), part);
    }
  }
  document.addEventListener("click", (event) => onTabSelected(event.target.closest?.("[role=tab]")), true);
  new MutationObserver((changes) => { // "Classify with it" selects a tab without a click on it
    for (const { target } of changes) if (target.getAttribute("aria-selected") === "true") onTabSelected(target);
  }).observe(root, { subtree: true, attributeFilter: ["aria-selected"] });
}
