// The taught pictures with their names, and their embeddings by each network, in the browser's IndexedDB.

/** @import { Embedding } from "../recognition/taught_head.js" */

/** @typedef {{ id: string, name: string, number: number, jpeg: Blob }} Taught */

const VERSION = 1;

/**
 * @template T
 * @param {IDBRequest<T>} request
 * @returns {Promise<T>}
 */
const done = (request) => new Promise((resolve, reject) => {
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(request.error);
});

export class Store {
  /** @param {string} name of the database: each URL path at which such a page is hosted has its own */
  constructor(name) {
    this.name = name;
    /** All pictures; if the browser has no storage, only until the page is closed. @type {Map<string, Taught>} */
    this.pictures = new Map();
    /** @type {Map<string, Embedding>} */
    this.embeddings = new Map();
    /** @type {IDBDatabase | null} */
    this.database = null;
  }

  /** Read everything; false if this browser has no storage. @param {string} fingerprint of the network */
  async open(fingerprint) {
    this.fingerprint = fingerprint;
    try {
      const request = indexedDB.open(this.name, VERSION);
      request.onupgradeneeded = () => {
        request.result.createObjectStore("pictures", { keyPath: "id" });
        request.result.createObjectStore("embeddings");
      };
      this.database = await done(request);
      const reading = this.database.transaction(["pictures", "embeddings"]);
      const [pictures, keys, embeddings] = await Promise.all([
        done(reading.objectStore("pictures").getAll()),
        done(reading.objectStore("embeddings").getAllKeys()),
        done(reading.objectStore("embeddings").getAll()),
      ]);
      for (const picture of pictures) this.pictures.set(picture.id, picture);
      keys.forEach((key, n) => {
        const [network, id] = String(key).split(" ");
        if (network === fingerprint) this.embeddings.set(id, embeddings[n]);
      });
      return true;
    } catch {
      this.database = null;
      return false;
    }
  }

  /** Pictures in the order in which they were taught. */
  all() {
    return [...this.pictures.values()].sort((a, b) => a.number - b.number);
  }

  /** Names, and how many pictures each has. @returns {Map<string, Taught[]>} */
  names() {
    const found = new Map();
    for (const picture of this.all()) found.set(picture.name, [...(found.get(picture.name) ?? []), picture]);
    return found;
  }

  /**
   * Teach pictures of names, all or none. A picture that was taught under another name moves to the new one.
   * @param {{ id: string, name: string, jpeg: Blob, embedding: Embedding }[]} taught
   * @returns {Promise<boolean>} whether they are stored
   */
  async add(taught) {
    let number = Math.max(0, ...this.all().map((picture) => picture.number));
    const known = new Map([...this.names().keys()].map((name) => [name.toLowerCase(), name]));
    const rows = taught.map(({ id, name, jpeg }) => ({ id, name: known.get(name.toLowerCase()) ?? name, jpeg, number: ++number }));
    rows.forEach((row, n) => {
      this.pictures.set(row.id, row);
      this.embeddings.set(row.id, taught[n].embedding);
    });
    return this.write((pictures, embeddings) => rows.forEach((row, n) => {
      pictures.put(row);
      embeddings.put(taught[n].embedding, `${this.fingerprint} ${row.id}`);
    }));
  }

  /** @param {string} id @param {Embedding} embedding */
  async keep(id, embedding) {
    this.embeddings.set(id, embedding);
    return this.write((_, embeddings) => embeddings.put(embedding, `${this.fingerprint} ${id}`));
  }

  /** @param {string[]} ids */
  async remove(ids) {
    for (const id of ids) {
      this.pictures.delete(id);
      this.embeddings.delete(id);
    }
    return this.write((pictures, embeddings) => ids.forEach((id) => {
      pictures.delete(id);
      embeddings.delete(`${this.fingerprint} ${id}`);
    }));
  }

  /** Remove everything. */
  async clear() {
    this.pictures.clear();
    this.embeddings.clear();
    return this.write((pictures, embeddings) => {
      pictures.clear();
      embeddings.clear();
    });
  }

  /** @param {(pictures: IDBObjectStore, embeddings: IDBObjectStore) => void} work */
  async write(work) {
    if (!this.database) return false;
    try {
      const writing = this.database.transaction(["pictures", "embeddings"], "readwrite");
      work(writing.objectStore("pictures"), writing.objectStore("embeddings"));
      await new Promise((resolve, reject) => {
        writing.oncomplete = () => resolve(true);
        writing.onabort = writing.onerror = () => reject(writing.error);
      });
      return true;
    } catch {
      return false; // the storage is full: it remains in memory
    }
  }
}
