import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { runInNewContext } from "node:vm";

const script = readFileSync(new URL("../../../fruitvision/web/page/js/browser_check.js", import.meta.url), "utf8");

/** Knows of modules, as browsers do that ask for the type before they make a worker. */
class Worker {
  constructor(url, options) {
    if (options.type !== "module") throw new Error("no worker should be made");
  }
}

/** Knows of no modules: it makes a worker whatever it is given. */
class ClassicWorker {
  terminate() { ClassicWorker.ended = true; }
}

/** What the script does in a browser that has `changed`: the page's class, and where it goes. */
function opened(search, changed = {}) {
  const found = { went: null };
  const able = { WebAssembly, Worker, OffscreenCanvas: class {}, createImageBitmap() {}, DecompressionStream: class {} };
  const page = { document: { body: { className: "" } }, location: { search, replace: (to) => { found.went = to; } } };
  const browser = { ...able, ...page, ...changed };
  runInNewContext(script, browser);
  return { ...found, old: browser.document.body.className === "old" };
}

test("a browser that can answer stays", () => assert.deepEqual(opened("?app"), { went: null, old: false }));

const unable = {
  "no WebAssembly": { WebAssembly: undefined },
  "no SIMD": { WebAssembly: { validate: () => false } },
  "no workers": { Worker: undefined },
  "no modules in workers": { Worker: ClassicWorker },
  "no canvas in workers": { OffscreenCanvas: undefined },
  "no decoder of pictures": { createImageBitmap: undefined },
  "no decompression": { DecompressionStream: undefined },
};
for (const [name, changed] of Object.entries(unable)) {
  test(`${name}: to the app beside the page, and told so where the page is alone`, () => {
    assert.deepEqual(opened("?app", changed), { went: "../?app", old: true });
    assert.deepEqual(opened("?lang=zh&app=", changed), { went: "../?app", old: true });
    assert.deepEqual(opened("", changed), { went: null, old: true });
    assert.deepEqual(opened("?apple", changed), { went: null, old: true });
  });
}

test("a worker that was made to find out is ended", () => {
  opened("", { Worker: ClassicWorker });
  assert.ok(ClassicWorker.ended);
});
