// The export file, the same as the app's: a ZIP with taught.json and pictures/ID.jpg (fruitvision/recognition/taught).

import { readZip, writeZip } from "./zip.js";

/** @import { Taught } from "./store.js" */

const INDEX = "taught.json", MOST_BYTES = 256 * 2 ** 20, INDEX_BYTES = 16 * 2 ** 20;
export const EXPORT_NAME = "fruitvision-taught.zip";

/**
 * @param {Map<string, Taught[]>} names
 * @returns {Promise<Blob>}
 */
export async function exportTaught(names) {
  const index = { version: 1, names: Object.fromEntries([...names].map(([name, pictures]) => [name, pictures.map(({ id }) => id)])) };
  const entries = [{ name: INDEX, data: new TextEncoder().encode(JSON.stringify(index, null, 1)) }];
  for (const pictures of names.values()) {
    for (const { id, jpeg } of pictures) entries.push({ name: `pictures/${id}.jpg`, data: new Uint8Array(await jpeg.arrayBuffer()) });
  }
  return writeZip(entries);
}

/**
 * The file's pictures with id, name and JPEG; `full` if there are more than `most`. Throws RangeError if it is damaged, or another file.
 * @param {Blob} file
 * @param {number} most pictures that are allowed
 */
export async function importTaught(file, most) {
  if (file.size > MOST_BYTES) throw new RangeError("too large");
  const content = new Uint8Array(await file.arrayBuffer());
  const entries = new Map((await readZip(content, { entries: 20_010, bytes: MOST_BYTES })).map(({ name, data }) => [name, data]));
  const raw = entries.get(INDEX);
  if (!raw || raw.length > INDEX_BYTES) throw new RangeError("no index");
  const names = namesIn(raw), found = new Map();
  for (const [name, ids] of Object.entries(names)) {
    if (!Array.isArray(ids) || !ids.length) throw new RangeError("an empty name");
    for (const id of ids) {
      const jpeg = typeof id === "string" && /^[0-9a-f]{32}$/.test(id) ? entries.get(`pictures/${id}.jpg`) : null;
      if (!jpeg) throw new RangeError("a picture is missing");
      found.set(id, { id, name, file: new Blob([/** @type {BlobPart} */ (jpeg)], { type: "image/jpeg" }) });
    }
  }
  if (!found.size) throw new RangeError("no pictures");
  return { pictures: [...found.values()], full: found.size > most };
}

/** @param {Uint8Array} raw @returns {Record<string, unknown>} */
function namesIn(raw) {
  let index;
  try {
    index = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(raw));
  } catch {
    throw new RangeError("no JSON");
  }
  if (typeof index?.names !== "object" || !index.names || Array.isArray(index.names)) throw new RangeError("no names");
  return index.names;
}
