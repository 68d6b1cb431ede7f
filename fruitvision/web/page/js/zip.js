// ZIP files in memory: written without compression (JPEG does not compress), read stored or deflated.

/**
 * @typedef {{ name: string, data: Uint8Array }} Entry
 */

const LOCAL = 0x04034b50, CENTRAL = 0x02014b50, END = 0x06054b50, UTF8 = 0x0800, DATE = 0x21; // 1980-01-01

const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n;
});

/** @param {Uint8Array} data */
export function crc32(data) {
  let crc = 0xffffffff;
  for (let i = 0; i < data.length; i++) crc = TABLE[(crc ^ data[i]) & 255] ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

/**
 * @param {Entry[]} entries
 * @returns {Blob}
 */
export function writeZip(entries) {
  /** @type {BlobPart[]} */
  const parts = [], directory = [];
  let at = 0, length = 0;
  for (const { name, data } of entries) {
    const called = new TextEncoder().encode(name);
    /** @param {boolean} central */
    const head = (central) => {
      const bytes = new DataView(new ArrayBuffer(central ? 46 : 30));
      let place = central ? 6 : 4;
      bytes.setUint32(0, central ? CENTRAL : LOCAL, true);
      if (central) bytes.setUint16(4, 20, true);
      for (const value of [20, UTF8, 0, 0, DATE]) { bytes.setUint16(place, value, true); place += 2; }
      for (const value of [crc32(data), data.length, data.length]) { bytes.setUint32(place, value, true); place += 4; }
      bytes.setUint16(place, called.length, true);
      if (central) bytes.setUint32(42, at, true);
      return bytes;
    };
    directory.push(head(true), called);
    length += 46 + called.length;
    parts.push(head(false), called, /** @type {BlobPart} */ (data));
    at += 30 + called.length + data.length;
  }
  const end = new DataView(new ArrayBuffer(22));
  end.setUint32(0, END, true);
  end.setUint16(8, entries.length, true);
  end.setUint16(10, entries.length, true);
  end.setUint32(12, length, true);
  end.setUint32(16, at, true);
  return new Blob([...parts, ...directory, end], { type: "application/zip" });
}

/**
 * The entries of a ZIP file. Throws RangeError if it is damaged, or has more than `most` entries or bytes.
 * @param {Uint8Array} file
 * @param {{ entries: number, bytes: number }} most
 * @returns {Promise<Entry[]>}
 */
export async function readZip(file, most) {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  let end = file.length - 22;
  while (end >= 0 && end > file.length - 22 - 65536 && view.getUint32(end, true) !== END) end--;
  if (end < 0 || view.getUint32(end, true) !== END) throw new RangeError("no zip file");
  const count = view.getUint16(end + 10, true), found = [];
  if (count > most.entries) throw new RangeError("too many files");
  let at = view.getUint32(end + 16, true), left = most.bytes;
  for (let number = 0; number < count; number++) {
    if (view.getUint32(at, true) !== CENTRAL) throw new RangeError("no directory");
    const method = view.getUint16(at + 10, true), crc = view.getUint32(at + 16, true);
    const packed = view.getUint32(at + 20, true), size = view.getUint32(at + 24, true);
    const [nameLength, extra, comment] = [28, 30, 32].map((place) => view.getUint16(at + place, true));
    const local = view.getUint32(at + 42, true);
    const name = new TextDecoder().decode(file.subarray(at + 46, at + 46 + nameLength));
    at += 46 + nameLength + extra + comment;
    if (name.endsWith("/")) continue;
    left -= size;
    if (left < 0 || view.getUint32(local, true) !== LOCAL) throw new RangeError("too large, or damaged");
    const start = local + 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
    const raw = file.subarray(start, start + packed);
    const data = method === 0 ? raw : method === 8 ? await inflated(raw, size).catch(() => null) : null;
    if (!data || data.length !== size || crc32(data) !== crc) throw new RangeError("damaged");
    found.push({ name, data });
  }
  return found;
}

/**
 * @param {Uint8Array} raw
 * @param {number} size
 */
async function inflated(raw, size) {
  const stream = new Blob([/** @type {BlobPart} */ (raw)]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  const data = new Uint8Array(size), reader = stream.getReader();
  for (let at = 0; ;) {
    const { done, value } = await reader.read();
    if (done) return at === size ? data : null;
    if (at + value.length > size) {
      await reader.cancel();
      return null; // larger than the directory says
    }
    data.set(value, at);
    at += value.length;
  }
}
