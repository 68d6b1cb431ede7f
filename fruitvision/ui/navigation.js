// Passes the header's language and model to the page's other scripts, keeps the language and the open panel in the URL, so that a reload
// restores them and Back and Forward move between the panels, and adds keyboard control of the tabs.
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

  window.fruitvisionHeaderChanged = (language, model) => {
    const switched = window.fruitvision && window.fruitvision.language !== language;
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

  // Gradio's dropdowns open on focus, but neither Escape nor Tab closes them: Gradio handles Tab as if it were a letter.
  document.addEventListener("keydown", (event) => {
    if (!event.target.matches?.("input[role=combobox]")) return;
    if (event.key === "Tab") event.stopImmediatePropagation();
    if (event.key === "Escape") event.target.blur();
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
