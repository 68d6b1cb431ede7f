import assert from "node:assert/strict";
import { test } from "node:test";
import { cases, floats, page, picture } from "./cases.js";

const { capShortSide, reduceJpeg } = await import(new URL("recognition/resize.js", page));
const { reduced } = await import(new URL("recognition/picture.js", page));
const { normalized, viewPictures, viewsOf } = await import(new URL("recognition/transform.js", page));

/** The largest difference of two lists of numbers, and their mean one. */
function differences(a, b) {
  assert.equal(a.length, b.length);
  let most = 0, sum = 0;
  for (let i = 0; i < a.length; i++) {
    const own = Math.abs(a[i] - b[i]);
    most = Math.max(most, own);
    sum += own;
  }
  return { most, mean: sum / a.length };
}

for (const one of cases.capped) {
  test(`${one.from.width}×${one.from.height} is reduced to the same bytes as by Pillow`, () => {
    const found = capShortSide(picture(one.from), one.side);
    assert.deepEqual([found.width, found.height], [one.to.width, one.to.height]);
    assert.equal(differences(found.data, picture(one.to).data).most, 0);
  });
}

for (const one of cases.views) {
  test(`the network's input of ${one.from.width}×${one.from.height} by ${one.name} is Python's`, () => {
    const views = viewPictures(one.transform, picture(one.from));
    assert.equal(views.length, viewsOf(one.transform));
    const { data, dims } = normalized(one.transform, views);
    assert.deepEqual(dims, one.dims);
    const { most, mean } = differences(data, floats(one.to));
    assert.ok(most < 0.04 && mean < one.mean, `${most} ${mean}`); // 0.02 is one step of 255: torch rounds by the processor's own way
  });
}

for (const one of cases.jpeg) {
  test(`a JPEG decoded whole, then reduced by ${one.by}, is near the one that was decoded smaller`, () => {
    const found = reduceJpeg(picture(one.whole), one.by), wanted = picture(one.small);
    assert.deepEqual([found.width, found.height], [wanted.width, wanted.height]);
    assert.ok(differences(found.data, wanted.data).mean < 1.5);
  });
}

for (const one of cases.reduced) {
  test(`a JPEG of ${one.from.width} × ${one.from.height} is reduced as Python reads it`, () => {
    const found = reduced(picture(one.from), one.side, one.draft), wanted = picture(one.to);
    assert.deepEqual([found.width, found.height], [wanted.width, wanted.height]);
    assert.ok(differences(found.data, wanted.data).mean < 1.5);
  });
}
