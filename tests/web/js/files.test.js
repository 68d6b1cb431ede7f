import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { page, raw } from "./cases.js";

const { crc32, readZip, writeZip } = await import(new URL("js/zip.js", page));
const { exportTaught, importTaught } = await import(new URL("js/taught_file.js", page));
const most = { entries: 100, bytes: 2 ** 20 };
const text = (data) => new TextDecoder().decode(data);

test("the checksum is the one that zip files have", () => assert.equal(crc32(new TextEncoder().encode("123456789")), 0xcbf43926));

test("what is written is read again, names in any language", async () => {
  const entries = [{ name: "空.txt", data: new Uint8Array() }, { name: "a/b.bin", data: Uint8Array.of(1, 2, 3) }];
  assert.deepEqual(await readZip(new Uint8Array(await writeZip(entries).arrayBuffer()), most), entries);
});

for (const name of ["stored.zip", "deflated.zip"]) {
  test(`Python's ${name} is read`, async () => {
    const found = await readZip(raw(name), most);
    assert.deepEqual(found.map((entry) => [entry.name, text(entry.data)]), [["名.json", "{}"], ["pictures/a.jpg", "x".repeat(1000)]]);
  });
}

test("a zip that is damaged, lies about its size or holds too much is refused", async () => {
  const whole = raw("deflated.zip");
  for (const broken of [whole.slice(0, 60), whole.slice(20), new Uint8Array(), new TextEncoder().encode("PK\x05\x06")]) {
    await assert.rejects(readZip(broken, most), RangeError);
  }
  const damaged = new Uint8Array(whole);
  damaged.fill(0xff, 30 + "名.json".length + 2, 30 + "名.json".length + 6);
  await assert.rejects(readZip(damaged, most), RangeError);
  await assert.rejects(readZip(whole, { entries: 1, bytes: 2 ** 20 }), RangeError);
  await assert.rejects(readZip(whole, { entries: 9, bytes: 100 }), RangeError);
});

test("the app's export is read, and the page's export is written for the app", async () => {
  const { pictures } = await importTaught(new Blob([raw("app.zip")]), 10);
  assert.deepEqual(pictures.map(({ name }) => name), ["Quince", "Quince", "空桌面"]);
  assert.ok((await importTaught(new Blob([raw("app.zip")]), 2)).full);
  const names = new Map();
  for (const { id, name, file } of pictures) names.set(name, [...(names.get(name) ?? []), { id, jpeg: file }]);
  const out = await exportTaught(names);
  writeFileSync(join(process.env.FRUITVISION_WEB_CASES ?? "", "page.zip"), new Uint8Array(await out.arrayBuffer()));
});

for (const name of ["stored.zip", "no-picture.zip", "bad-id.zip", "bad-json.zip"]) {
  test(`${name} is not an export`, () => assert.rejects(importTaught(new Blob([raw(name)]), 10), RangeError));
}
