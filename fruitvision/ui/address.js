// What the header shows is told to the page's other scripts; language and panel stand in the address, so that a reload stays
// where one was, and Back and Forward move between the panels.
(language, model) => {
  const PANELS = ["classify", "train", "compare"], YEAR = 31536000;
  const tab = (name) => document.querySelector(`#panel-${name}-button`);
  const shown = () => PANELS.find((name) => tab(name)?.getAttribute("aria-selected") === "true") || PANELS[0];
  const address = (changes) => {
    const url = new URL(location.href);
    for (const [key, value] of Object.entries(changes)) {
      if (value) url.searchParams.set(key, value);
      else url.searchParams.delete(key);
    }
    return url;
  };

  const wanted = () => new URL(location.href).searchParams.get("tab") || PANELS[0];
  const follow = () => {
    if (shown() !== wanted()) history.pushState(null, "", address({ tab: shown() === PANELS[0] ? "" : shown() }));
  };

  window.fruitvisionTold = (language, model) => {
    const switched = window.fruitvision && window.fruitvision.language !== language;
    window.fruitvision = { language, model };
    document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
    if (switched) {
      document.cookie = `fruitvision-language=${language}; path=${location.pathname}; max-age=${YEAR}; SameSite=Lax`;
      history.replaceState(history.state, "", address({ lang: language }));
    }
    window.dispatchEvent(new Event("fruitvision-words"));
    if (window.fruitvisionAddress) setTimeout(follow, 500); // "Classify with it" leads to another panel without a click on its tab
  };
  window.fruitvisionTold(language, model);

  if (window.fruitvisionAddress) return;
  window.fruitvisionAddress = true;
  const go = () => { if (PANELS.includes(wanted()) && wanted() !== shown()) tab(wanted())?.click(); };
  let followed = 0; // the panel that is being opened because the address says so
  window.addEventListener("popstate", () => { followed += 1; go(); followed -= 1; });
  document.querySelector("#panels")?.addEventListener("click", () => setTimeout(follow, 0));
  go();

  // On a phone the link to the page that answers on the device lies in the gear's menu: that stays open while the link is pressed.
  document.addEventListener("mousedown", (event) => { if (event.target.closest?.("#device a")) event.preventDefault(); });

  // Gradio's choices open when the focus comes to them, but neither Escape nor the Tab key closes them: it takes Tab for any letter.
  document.addEventListener("keydown", (event) => {
    if (!event.target.matches?.("input[role=combobox]")) return;
    if (event.key === "Tab") event.stopImmediatePropagation();
    if (event.key === "Escape") event.target.blur();
  }, true);

  // Keys move between the tabs of a list, as the ARIA pattern for tabs has it: the Tab key comes to the one that is open, arrows, Home
  // and End to the others, in the order in which they are seen. Gradio leaves every tab to the Tab key.
  const rove = () => {
    for (const own of document.querySelectorAll("[role=tablist] [role=tab]")) own.tabIndex = own.getAttribute("aria-selected") === "true" ? 0 : -1;
  };
  new MutationObserver((changes) => {
    const tabs = ({ type, target, addedNodes }) => type === "attributes" || target.closest?.("[role=tablist]")
      || [...addedNodes].some((one) => one.querySelector?.("[role=tab]"));
    if (changes.some(tabs)) rove();
  }).observe(document.body, { subtree: true, childList: true, attributeFilter: ["aria-selected"] });
  rove();
  const place = (own) => { const { top, left } = own.getBoundingClientRect(); return Math.round(top) * 1e4 + left; };
  document.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key], own = event.target.closest?.("[role=tab]");
    if (!own || !(step || event.key === "Home" || event.key === "End")) return;
    const tabs = [...own.closest("[role=tablist]").querySelectorAll("[role=tab]")].filter((one) => one.offsetParent !== null);
    tabs.sort((one, other) => place(one) - place(other));
    const next = step ? tabs[(tabs.indexOf(own) + step + tabs.length) % tabs.length] : tabs.at(event.key === "Home" ? 0 : -1);
    event.preventDefault();
    next.focus();
    next.click();
  });
}
