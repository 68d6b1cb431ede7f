// Gradio's own texts are in the browser's language, and many in English only; this script translates them into the page's language. The
// app's own content (".prose") and the options of lists, whose names users chose, are left alone. In a third language Gradio says only
// what a drop area is for: whatever its name is, it is replaced. KNOWN (texts by key and language) and RAW (untranslated keys that Gradio
// displays) come from gradio_translation.py.
() => {
  if (window.fruitvisionGradioKey) return;
  const ATTRIBUTES = ["aria-label", "title", "placeholder", "alt"], OWN = ".prose, .fv-offline, .fv-language-overlay, .fv-upload-error, [role=option], script, style";
  const exact = new Map(), patterns = [];
  for (const [key, words] of Object.entries(KNOWN)) {
    for (const text of Object.values(words)) {
      const name = /\{(\w+)\}/.exec(text)?.[1];
      if (!name) exact.set(text, key);
      else patterns.push([new RegExp(`^${text.replace(/[.*+?^$()|[\]\\]/g, "\\$&").replace(`{${name}}`, "(.+)")}$`), key, name]);
    }
  }
  for (const [raw, key] of Object.entries(RAW)) exact.set(raw, key);

  /** The key of one of Gradio's texts in any language; null for any other text. */
  window.fruitvisionGradioKey = (text) => exact.get(text?.trim()) ?? null;

  function translated(text) {
    const language = window.fruitvision?.language ?? "en", trimmed = text?.trim();
    if (!trimmed || trimmed.length > 80) return null;
    if (exact.has(trimmed)) return KNOWN[exact.get(trimmed)][language];
    for (const [pattern, key, name] of patterns) {
      const found = pattern.exec(trimmed);
      if (found) return KNOWN[key][language].replace(`{${name}}`, () => found[1]); // a function: "$&" in a name has no meaning
    }
    return null;
  }

  function translate(element) {
    if (element.matches?.("label > input[title]")) element.removeAttribute("title"); // a choice's value in the program; the label names it
    const isDropArea = element.matches?.("button:has(> input[type=file])");
    for (const name of ATTRIBUTES) {
      const before = element.getAttribute(name);
      const known = isDropArea && name === "aria-label" && before && !exact.has(before.trim()) ? KNOWN.drop_image.en : before;
      const words = known && translated(known);
      if (!words) continue;
      if (exact.has(known.trim())) element.dataset.fvGradio = exact.get(known.trim());
      if (words !== before) element.setAttribute(name, words);
    }
    for (const node of element.childNodes) {
      const words = node.nodeType === Node.TEXT_NODE ? translated(node.data) : null;
      if (words && node.data.trim() !== words) node.data = words;
    }
  }

  function walk(root) {
    if (root.nodeType !== Node.ELEMENT_NODE || root.closest(OWN)) return;
    translate(root);
    for (const child of root.children) walk(child);
  }

  new MutationObserver((changes) => {
    for (const { type, target, addedNodes } of changes) {
      if (type === "childList") addedNodes.forEach((node) => walk(node.nodeType === Node.TEXT_NODE ? target : node));
      else {
        const element = target.nodeType === Node.TEXT_NODE ? target.parentElement : target;
        if (element && !element.closest(OWN)) translate(element);
      }
    }
  }).observe(document.body, { childList: true, subtree: true, characterData: true, attributes: true, attributeFilter: ATTRIBUTES });
  window.addEventListener("fruitvision-header-change", () => walk(document.body));
  walk(document.body);
}
