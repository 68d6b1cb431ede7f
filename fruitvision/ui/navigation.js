// Passes the header's language and model to the page's other scripts, keeps the language and the open panel in the URL, so that a reload
// restores them and Back and Forward move between the panels, keeps the model in the browser's storage, and adds keyboard control.
(language, model) => {
  const PANELS = ["classify", "train", "compare"], YEAR = 31536000;
  const tab = (name) => document.querySelector(`#panel-${name}-button`);
  const openPanel = () => PANELS.find((name) => tab(name)?.getAttribute("aria-selected") === "true") || PANELS[0];
  const urlWith = (changes) => {
    const url = new URL(location.href);
    for (const [key, value] of Object.entries(changes)) {
      if (value) url.searchParams.set(key, value);
      else url.searchParams.delete(key);
    }
    return url;
  };

  const panelInUrl = () => new URL(location.href).searchParams.get("tab") || PANELS[0];
  const updateUrl = () => {
    if (openPanel() !== panelInUrl()) history.pushState(null, "", urlWith({ tab: openPanel() === PANELS[0] ? "" : openPanel() }));
  };

  // On a phone, where the model's choice is behind a gear, the name of one that is not the default stands below the title.
  const standard = model;
  const showModel = () => {
    const chosen = window.fruitvision.model !== standard ? document.querySelector("#model input")?.value : "";
    document.querySelector("#title")?.setAttribute("data-model", chosen || "");
    const label = document.querySelector("#model [data-testid='block-info']")?.textContent.trim();
    document.querySelector("#model")?.style.setProperty("--fv-label", JSON.stringify(label || ""));
  };

  // The model that was chosen last in this tab, or in another one before. The default is stored as "", since another start of the app
  // may have another default.
  const MODEL_KEY = `fruitvision-model ${location.pathname}`;
  window.fruitvisionRememberedModel = () => {
    try {
      return (sessionStorage.getItem(MODEL_KEY) ?? localStorage.getItem(MODEL_KEY)) || null;
    } catch { return null; } // storage is not allowed
  };
  const rememberModel = (chosen) => {
    try {
      for (const storage of [sessionStorage, localStorage]) storage.setItem(MODEL_KEY, chosen === standard ? "" : chosen ?? "");
    } catch { /* storage is full or not allowed: the page starts with the default */ }
  };

  window.fruitvisionHeaderChanged = (language, model) => {
    const switched = window.fruitvision && window.fruitvision.language !== language;
    if (window.fruitvision && window.fruitvision.model !== model) rememberModel(model);
    window.fruitvision = { language, model };
    document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
    if (switched) {
      document.cookie = `fruitvision-language=${language}; path=${location.pathname}; max-age=${YEAR}; SameSite=Lax`;
      history.replaceState(history.state, "", urlWith({ lang: language }));
    }
    window.dispatchEvent(new Event("fruitvision-header-change"));
    setTimeout(showModel, 300);
    if (window.fruitvisionNavigation) setTimeout(updateUrl, 500); // "Classify with it" opens another panel without a click on its tab
  };
  window.fruitvisionHeaderChanged(language, model);

  if (window.fruitvisionNavigation) return;
  window.fruitvisionNavigation = true;
  const openPanelOfUrl = () => { if (PANELS.includes(panelInUrl()) && panelInUrl() !== openPanel()) tab(panelInUrl())?.click(); };
  window.addEventListener("popstate", openPanelOfUrl);
  document.querySelector("#panels")?.addEventListener("click", () => setTimeout(updateUrl, 0));
  openPanelOfUrl();

  // On a phone the link to the device page is in the settings menu, which must stay open while the link is pressed.
  document.addEventListener("mousedown", (event) => { if (event.target.closest?.("#device a")) event.preventDefault(); });

  // Gradio's dropdowns open on focus, but neither Escape nor Tab closes them: Gradio handles Tab as if it were a letter. After Enter it
  // takes the focus away. With Escape and Enter, the list is told that the focus left, but the focus stays, and a click opens it again.
  const tell = (field, kind) => field.dispatchEvent(new FocusEvent(kind));
  document.addEventListener("keydown", (event) => {
    const field = event.target;
    if (!field.matches?.("input[role=combobox]")) return;
    if (event.key === "Tab" || event.key === "Escape") event.stopImmediatePropagation();
    if (event.key === "Escape") tell(field, "blur");
    if (event.key === "ArrowUp" || event.key === "ArrowDown") event.preventDefault(); // the page would scroll
    if (event.key !== "Enter") return;
    field.blur = () => tell(field, "blur"); // Gradio calls it a moment later
    setTimeout(() => delete field.blur, 200);
  }, true);
  document.addEventListener("mousedown", (event) => {
    const field = event.target.closest?.(".secondary-wrap")?.querySelector("input[role=combobox][aria-expanded=false]");
    if (field && field === document.activeElement) tell(field, "focus");
  }, true);

  // Keyboard control of tabs, by the ARIA tabs pattern: Tab focuses the selected tab; the arrow keys, Home and End select the others in
  // visual order (roving tabindex). In Gradio, Tab goes through all of them.
  const updateTabIndex = () => {
    for (const button of document.querySelectorAll("[role=tablist] [role=tab]")) {
      button.tabIndex = button.getAttribute("aria-selected") === "true" ? 0 : -1;
    }
  };
  new MutationObserver((changes) => {
    const affectsTabs = ({ type, target, addedNodes }) => type === "attributes" || target.closest?.("[role=tablist]")
      || [...addedNodes].some((node) => node.querySelector?.("[role=tab]"));
    if (changes.some(affectsTabs)) updateTabIndex();
  }).observe(document.body, { subtree: true, childList: true, attributeFilter: ["aria-selected"] });
  updateTabIndex();
  const visualOrder = (button) => { const { top, left } = button.getBoundingClientRect(); return Math.round(top) * 1e4 + left; };
  document.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key], current = event.target.closest?.("[role=tab]");
    if (!current || !(step || event.key === "Home" || event.key === "End")) return;
    const tabs = [...current.closest("[role=tablist]").querySelectorAll("[role=tab]")].filter((button) => button.offsetParent !== null);
    tabs.sort((a, b) => visualOrder(a) - visualOrder(b));
    const next = step ? tabs[(tabs.indexOf(current) + step + tabs.length) % tabs.length] : tabs.at(event.key === "Home" ? 0 : -1);
    event.preventDefault();
    next.focus();
    next.click();
  });
}
