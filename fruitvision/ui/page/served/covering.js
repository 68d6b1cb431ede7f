// A part of the page follows a change of the language when it is open: on what nobody sees no time is spent. Until all that is seen has
// changed the page is covered: no sentence stands beside one of another language.
// WORDS (by language) and PARTS (the tabs that are open where a part is seen) come from covering.py.
() => {
  if (window.fruitvisionHeard) return;
  const EVERY_MS = 50, STEADY = 2, LAST_MS = 1000, MOST_MS = 5000;
  const open = (part) => PARTS[part].every((tab) => document.getElementById(`${tab}-button`)?.getAttribute("aria-selected") === "true");
  const chosen = () => document.querySelector("#language input:checked")?.value;

  const root = document.querySelector(".gradio-container") || document.body;
  const cover = document.createElement("div"), words = document.createElement("p"), aloud = document.createElement("p");
  cover.className = "fv-cover";
  cover.hidden = true;
  cover.setAttribute("aria-hidden", "true");
  cover.append(words);
  aloud.className = "fv-hidden fv-cover-said"; // beside the cover: what was hidden until now is not announced
  aloud.setAttribute("role", "status");
  root.append(aloud, cover);

  // What is covered takes no key either; what had the focus has it again afterwards.
  let focused = null;
  function lock() {
    if (cover.hidden) focused = document.activeElement;
    cover.hidden = false;
    for (const own of root.children) if (own !== cover && own !== aloud) own.inert = true;
  }
  function unlock() {
    cover.hidden = true;
    for (const own of root.children) own.inert = false;
    const again = focused?.isConnected === false ? document.querySelector("#language input:checked") : focused; // drawn anew meanwhile
    if (document.activeElement === document.body) again?.focus({ preventScroll: true });
    focused = null;
  }

  // Calls of the server that are under way; their answers are read to the end, since some come in pieces.
  let asked = 0, covered = 0;
  const fetched = window.fetch;
  window.fetch = (...given) => {
    const answer = fetched(...given);
    if (cover.hidden || !/\/gradio_api\/(queue|run|component_server)/.test(String(given[0]?.url ?? given[0]))) return answer;
    asked += 1;
    answer.then((response) => response.clone().arrayBuffer()).catch(() => {}).finally(() => { asked -= 1; });
    return answer;
  };

  const waited = new Set(); // what has not changed yet: parts, and the header
  async function hide(language, part) {
    const mine = ++covered, end = performance.now() + MOST_MS;
    waited.add(part);
    words.textContent = aloud.textContent = WORDS[language] || WORDS.en;
    lock();
    let steady = 0, last = Infinity; // when nothing but calls were waited for
    while (steady < STEADY && performance.now() < Math.min(end, last)) {
      await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
      if (mine !== covered) return;
      if (!waited.size) last = Math.min(last, performance.now() + LAST_MS);
      steady = waited.size || asked ? 0 : steady + 1;
    }
    waited.clear();
    unlock();
    words.textContent = aloud.textContent = "";
  }

  const first = window.fruitvision?.language || chosen();
  const heard = Object.fromEntries(Object.keys(PARTS).map((part) => [part, first]));
  window.fruitvisionHeard = (language, before) => Object.keys(PARTS).map((part, n) => {
    if (!open(part)) return before[n];
    heard[part] = language;
    if (before[n] === language) waited.delete(part); // nothing of it changes
    else if (cover.hidden) hide(language, part);
    else waited.add(part);
    return language;
  });
  window.fruitvisionSpoken = (part) => waited.delete(part);
  document.addEventListener("change", (event) => {
    if (event.target.closest?.("#language")) hide(event.target.value, "header");
  }, true);
  function opened(own) {
    const tab = own?.id.replace(/-button$/, "");
    for (const part of Object.keys(PARTS)) {
      if (PARTS[part].at(-1) === tab && heard[part] !== chosen()) hide(chosen(), part);
    }
  }
  document.addEventListener("click", (event) => opened(event.target.closest?.("[role=tab]")), true);
  new MutationObserver((changes) => { // "Classify with it" opens a tab without a click on it
    for (const { target } of changes) if (target.getAttribute("aria-selected") === "true") opened(target);
  }).observe(root, { subtree: true, attributeFilter: ["aria-selected"] });
}
