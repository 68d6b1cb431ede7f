// The teaching section: names, pictures, the list of what was taught, export and import.

import { tag } from "./card.js";
import { pause } from "./camera.js";
import { WorkerError } from "./worker_client.js";
import { Store } from "./store.js";
import { EXPORT_NAME, exportTaught, importTaught } from "./taught_file.js";
import { meantName, nameOf, say } from "./words.js";

/** @import { Model } from "../recognition/types.js" */
/** @import { Camera } from "./camera.js" */
/** @import { WorkerClient } from "./worker_client.js" */

const FRAMES = 10, EVERY_MS = 350;

/** @param {string} id */
const find = (id) => /** @type {HTMLElement} */ (document.getElementById(id));
const field = () => /** @type {HTMLInputElement} */ (find("name"));

export class Teaching {
  /**
   * @param {Model} model
   * @param {WorkerClient} worker
   * @param {Camera} camera
   * @param {() => Blob | null} shown returns the displayed picture
   * @param {() => Promise<void>} changed is called when answers may have changed
   */
  constructor(model, worker, camera, shown, changed) {
    this.model = model;
    this.worker = worker;
    this.camera = camera;
    this.changed = changed;
    this.store = new Store(`fruitvision ${new URL("../", import.meta.url).pathname}`);
    this.busy = false;
    this.status = this.missing = () => ""; // the current messages, as functions of the language
    /** @type {{ at: number, pictures: { id: string, name: string, jpeg: Blob, embedding: any }[] } | null} the last removal, and its position */
    this.removed = null;
    find("frames").addEventListener("click", () => this.work(() => this.takeFrames()));
    find("this").addEventListener("click", () => this.work(async () => {
      const picture = shown();
      if (!picture) return this.tell(() => say("teach.no_picture"), true);
      await this.add([{ file: picture }]);
    }));
    find("export").addEventListener("click", () => this.work(() => this.save(), false));
    find("import").addEventListener("click", () => find("zip").click());
    find("zip").addEventListener("change", () => this.work(() => this.load(), false));
    find("over").addEventListener("click", () => { find("sure").hidden = false; find("no").focus(); });
    find("no").addEventListener("click", () => { find("sure").hidden = true; });
    find("yes").addEventListener("click", () => this.work(async () => {
      find("sure").hidden = true;
      this.removed = null;
      await this.store.clear();
      await this.learn();
      this.tell(() => "");
    }, false));
  }

  /** Load what was taught before, and fit the head. */
  async open() {
    const stored = await this.store.open(this.model.fingerprint);
    for (const { id, jpeg } of this.store.all()) { // not yet embedded by this network
      if (this.store.embeddings.has(id)) continue;
      try {
        await this.store.keep(id, (await this.worker.ask("embed", { file: jpeg })).embedding);
      } catch (error) { // the browser lost it: the others are used without it
        console.warn("A taught picture cannot be read:", error);
      }
    }
    await this.worker.ask("teach", { examples: this.examples() });
    this.list();
    return stored;
  }

  /** @returns {[string, any][]} */
  examples() {
    const { embeddings } = this.store;
    return this.store.all().filter(({ id }) => embeddings.has(id)).map(({ id, name }) => [name, embeddings.get(id)]);
  }

  /** @param {() => string} words @param {boolean} [wrong] */
  tell(words, wrong = false) {
    this.status = words;
    find("said").textContent = words();
    find("said").classList.toggle("wrong", wrong);
  }

  /** Update all texts after a change of the language. */
  translate() {
    this.list();
    find("said").textContent = this.status();
    find("missing").textContent = this.missing();
  }

  /**
   * Run one task at a time; others are ignored meanwhile.
   * @param {() => Promise<unknown>} work
   * @param {boolean} [needsName]
   */
  async work(work, needsName = true) {
    if (this.busy) return;
    if (needsName && !field().value.trim()) {
      this.missing = () => say("teach.no_name");
      find("missing").textContent = this.missing(); // beside the field
      field().setAttribute("aria-invalid", "true");
      field().addEventListener("input", () => {
        this.missing = () => "";
        find("missing").textContent = "";
        field().removeAttribute("aria-invalid");
      }, { once: true });
      return field().focus();
    }
    this.busy = true;
    find("teach").setAttribute("aria-busy", "true");
    try {
      await work();
    } catch (error) {
      this.tell(() => (error instanceof WorkerError && error.code ? say(`errors.${error.code}`, error.facts) : String(error)), true);
    } finally {
      this.busy = false;
      find("teach").removeAttribute("aria-busy");
    }
  }

  get name() {
    return meantName(field().value, [...this.store.names().keys(), ...new Set(this.model.fruit_types)]);
  }

  /**
   * Teach pictures of the name in the field.
   * @param {{ file?: Blob, frame?: ImageBitmap }[]} pictures
   */
  async add(pictures) {
    const name = this.name, found = [];
    for (const picture of pictures) {
      found.push({ name, ...(await this.worker.ask("embed", picture, picture.frame ? [picture.frame] : [])) });
    }
    const kept = this.fresh(found);
    if (await this.keep(found)) this.sumUp(name, found.length, kept, "learned_given", "learned_nothing");
  }

  /** How many of these pictures are new for their names. @param {{ id: string, name: string }[]} found */
  fresh(found) {
    /** @param {{ id: string, name: string }} one */
    const has = ({ id, name }) => this.store.pictures.get(id)?.name.toLowerCase() === name.toLowerCase();
    return new Set(found.filter((one) => !has(one)).map(({ id }) => id)).size;
  }

  /** @param {string} name @param {number} count @param {number} kept @param {string} some @param {string} none keys of the messages if some, or none, were new */
  sumUp(name, count, kept, some, none) {
    this.tell(() => say(`teach.${kept === count ? "learned" : kept ? some : none}`, { name: nameOf(name), count, kept, same: count - kept }));
  }

  /** @param {{ id: string, name: string, jpeg: Blob, embedding: any }[]} found */
  async keep(found) {
    const fresh = new Set(found.map(({ id }) => id).filter((id) => !this.store.pictures.has(id)));
    if (this.store.pictures.size + fresh.size > this.model.taught.max_pictures) {
      this.tell(() => say("errors.taught-full", { limit: this.model.taught.max_pictures }), true);
      return false;
    }
    this.removed = null;
    const stored = await this.store.add(found);
    await this.learn();
    if (!stored) this.tell(() => say("web.stored_not"), true);
    return stored;
  }

  /** Fit the head to the taught pictures. */
  async learn() {
    await this.worker.ask("teach", { examples: this.examples() });
    this.list();
    await this.changed();
  }

  /** Teach frames of the camera, and embed each as it is taken. */
  async takeFrames() {
    if (!this.camera.on && !(await this.camera.start())) return this.tell(() => say("teach.no_camera"), true);
    await pause(this.camera.on ? 0 : 700);
    const name = this.name, found = [];
    this.camera.held = true;
    try {
      while (found.length < FRAMES && this.camera.on) {
        const began = performance.now();
        const turn = { number: found.length + 1, all: FRAMES };
        this.tell(() => say("teach.turn", turn));
        const frame = await this.camera.frame();
        found.push({ name, ...(await this.worker.ask("embed", { frame }, [frame])) });
        if (found.length < FRAMES) await pause(EVERY_MS - (performance.now() - began));
      }
    } finally {
      this.camera.held = false;
    }
    if (!found.length) return this.tell(() => say("teach.no_camera"), true);
    const kept = this.fresh(found), began = performance.now(), stored = await this.keep(found);
    find("teach").dataset.learnedMs = String(Math.round(performance.now() - began));
    if (!stored) return;
    if (found.length === FRAMES) this.sumUp(name, found.length, kept, "learned_same", "learned_still");
    else this.tell(() => say("teach.frames_left", { number: found.length }));
  }

  async save() {
    const link = /** @type {HTMLAnchorElement} */ (tag("a", { download: EXPORT_NAME }));
    link.href = URL.createObjectURL(await exportTaught(this.store.names()));
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  }

  async load() {
    const input = /** @type {HTMLInputElement} */ (find("zip")), [file] = input.files ?? [];
    if (!file) return;
    const { name: called } = file;
    let exported;
    try {
      exported = await importTaught(file, this.model.taught.max_pictures);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      return this.tell(() => say("errors.taught-no-export", { file: called }), true);
    } finally {
      input.value = "";
    }
    if (exported.full) return this.tell(() => say("errors.taught-full", { limit: this.model.taught.max_pictures }), true);
    const found = [];
    for (const [n, { id, name, file: picture }] of exported.pictures.entries()) {
      this.tell(() => say("teach.seeing", { number: n + 1, all: exported.pictures.length }));
      found.push({ ...(await this.worker.ask("embed", { file: picture })), id, name: meantName(name, []) });
    }
    const count = found.length, kept = this.fresh(found);
    if (await this.keep(found)) this.tell(() => say(`teach.${kept === count ? "imported" : "imported_same"}`, { count, kept, same: count - kept }));
  }

  /**
   * A list item for the last removal, with the undo button.
   * @param {{ id: string, name: string, jpeg: Blob, embedding: any }[]} pictures
   */
  undo(pictures) {
    const back = tag("button", { type: "button", class: "undo" }, say("teach.undo"));
    back.addEventListener("click", () => this.work(() => this.keep(pictures), false));
    const words = say("teach.removed", { name: nameOf(pictures[0].name), count: pictures.length });
    return tag("li", {}, tag("span", { role: "status" }, words), back);
  }

  /** Update the list of names with their numbers of pictures, and the suggestions of the name field. */
  list() {
    const names = this.store.names(), types = [...new Set(this.model.fruit_types)];
    const rows = [...names].map(([name, pictures], at) => {
      const shown = nameOf(name), forget = tag("button", { type: "button" }, say("teach.forget_name", { name: shown }));
      forget.addEventListener("click", () => this.work(async () => {
        this.removed = { at, pictures: pictures.map((one) => ({ ...one, embedding: this.store.embeddings.get(one.id) })) };
        await this.store.remove(pictures.map(({ id }) => id));
        await this.learn();
        this.tell(() => "");
        /** @type {HTMLElement | null} */ (document.querySelector("#taught .undo"))?.focus();
      }, false));
      return tag("li", {}, tag("span", {}, shown, " ", tag("small", {}, say("teach.count", { count: pictures.length }))), forget);
    });
    if (this.removed) rows.splice(this.removed.at, 0, this.undo(this.removed.pictures));
    find("taught").replaceChildren(...rows);
    if (!names.size) find("taught").append(tag("li", {}, say("teach.nothing")));
    for (const id of ["export", "over"]) /** @type {HTMLButtonElement} */ (find(id)).disabled = !names.size;
    const known = [...names.keys(), ...this.model.taught.no_fruit_names, ...types.filter((name) => name !== this.model.not_fruit)];
    find("names").replaceChildren(...[...new Set(known.map(nameOf))].map((name) => tag("option", { value: name })));
  }
}
