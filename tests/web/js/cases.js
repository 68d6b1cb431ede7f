// What Python computed (tests/web/test_javascript.py), read by the tests beside.

import { readFileSync } from "node:fs";
import { join } from "node:path";

const folder = process.env.FRUITVISION_WEB_CASES ?? "";
export const page = new URL("../../../fruitvision/web/page/", import.meta.url);
export const cases = JSON.parse(readFileSync(join(folder, "cases.json"), "utf8"));

/** @param {string} name */
const bytes = (name) => Uint8Array.from(readFileSync(join(folder, name)));

/** A picture that Python wrote. @param {{ file: string, width: number, height: number }} given */
export const picture = ({ file, width, height }) => ({ width, height, data: bytes(file) });

/** @param {string} name */
export const floats = (name) => new Float32Array(bytes(name).buffer);

export const raw = bytes;
