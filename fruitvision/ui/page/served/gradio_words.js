// Gradio speaks the browser's language, and much of it English alone; here its words follow the page's. What this app made itself, which
// stands in ".prose", says its own, and the options of a list have the names that people gave. KNOWN (by key and language) and RAW
// (Gradio's keys that lack words) come from gradio_words.py.
() => {
  if (window.fruitvisionKnown) return;
  const ATTRIBUTES = ["aria-label", "title", "placeholder", "alt"], OWN = ".prose, .fv-away, .fv-cover, .fv-too-large, [role=option], script, style";
  const exact = new Map(), patterns = [];
  for (const [key, words] of Object.entries(KNOWN)) {
    for (const text of Object.values(words)) {
      const name = /\{(\w+)\}/.exec(text)?.[1];
      if (!name) exact.set(text, key);
      else patterns.push([new RegExp(`^${text.replace(/[.*+?^$()|[\]\\]/g, "\\$&").replace(`{${name}}`, "(.+)")}$`), key, name]);
    }
  }
  for (const [raw, key] of Object.entries(RAW)) exact.set(raw, key);

  /** The key of what Gradio says, in any language; null for anything else. */
  window.fruitvisionKnown = (text) => exact.get(text?.trim()) ?? null;

  function spoken(text) {
    const language = window.fruitvision?.language ?? "en", own = text?.trim();
    if (!own || own.length > 80) return null;
    if (exact.has(own)) return KNOWN[exact.get(own)][language];
    for (const [pattern, key, name] of patterns) {
      const found = pattern.exec(own);
      if (found) return KNOWN[key][language].replace(`{${name}}`, () => found[1]); // "$&" in a name is no pattern
    }
    return null;
  }

  function speak(element) {
    for (const name of ATTRIBUTES) {
      const before = element.getAttribute(name), words = before && spoken(before);
      if (!words) continue;
      if (exact.has(before.trim())) element.dataset.fvGradio = exact.get(before.trim());
      if (words !== before) element.setAttribute(name, words);
    }
    for (const node of element.childNodes) {
      const words = node.nodeType === Node.TEXT_NODE ? spoken(node.data) : null;
      if (words && node.data.trim() !== words) node.data = words;
    }
  }

  function walk(root) {
    if (root.nodeType !== Node.ELEMENT_NODE || root.closest(OWN)) return;
    speak(root);
    for (const child of root.children) walk(child);
  }

  new MutationObserver((changes) => {
    for (const { type, target, addedNodes } of changes) {
      if (type === "childList") addedNodes.forEach((node) => walk(node.nodeType === Node.TEXT_NODE ? target : node));
      else {
        const element = target.nodeType === Node.TEXT_NODE ? target.parentElement : target;
        if (element && !element.closest(OWN)) speak(element);
      }
    }
  }).observe(document.body, { childList: true, subtree: true, characterData: true, attributes: true, attributeFilter: ATTRIBUTES });
  window.addEventListener("fruitvision-words", () => walk(document.body));
  walk(document.body);
}
